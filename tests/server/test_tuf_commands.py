"""`covey keys` and `covey release publish|refresh|bundle`: what an operator types, from keys to a stick."""

import json
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from commands import invoked
from covey.errors import CoveyError, InputError
from covey_client.repository import Repository
from covey_server import publish_commands, tuf_repository
from covey_server.fleet_keys import make_fleet
from covey_server.key_commands import keys
from covey_server.tuf_roles import signers_in
from packages_fixture import package
from tuf_world import instruction

SECRET = "correct horse battery"


def release() -> typer.Typer:
    """As its entry point will have them."""
    app = typer.Typer()
    app.command()(publish_commands.publish)
    app.command()(publish_commands.refresh)
    app.command()(publish_commands.bundle)
    return app


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("COVEY_PASSPHRASE", raising=False)
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "motion.covey").write_bytes(package("1.0.0"))
    make_fleet(tmp_path / "fleet", "lab", [], 30, passphrase=SECRET)
    server = tmp_path / "server"
    server.mkdir()
    for role in ("snapshot", "timestamp", "rollout"):
        (tmp_path / f"fleet/tuf/{role}.key").rename(server / f"{role}.key")
    return tmp_path / "fleet"


def test_from_keys_to_a_stick(fleet: Path, tmp_path: Path) -> None:
    repo, server, secret = tmp_path / "repo", tmp_path / "server", tmp_path / "secret"
    told = invoked(keys, "init", fleet, repo).stdout
    assert "not published yet" in told
    assert "root: 2 more of root-1 (" in told
    told = invoked(keys, "status", repo).stdout
    assert "waits for a signature: root: 2 more" in told
    for name in ("root-1", "root-3", "targets"):
        mine = ("--keys", fleet / f"tuf/{name}.key", "--passphrase-file", secret)
        assert "not published yet" in invoked(keys, "sign", repo, *mine).stdout
    assert invoked(keys, "sign", repo, "--keys", server).stdout == "published\n"
    status = json.loads(invoked(keys, "status", repo, "--json").stdout)
    assert not status["waiting"]
    assert {role["role"]: role["version"] for role in status["roles"]} == {
        "root": 1,
        "targets": 1,
        "snapshot": 1,
        "timestamp": 1,
        "models": 0,
        "policy": 0,
        "roster": 0,
        "rollout": 1,
    }

    archive = tmp_path / "motion.covey"
    words = ("publish", repo, archive, "--generation", "1", "--ungated")
    mine = ("--keys", fleet / "tuf/models.key", "--passphrase-file", secret)
    told = invoked(release(), *words, *mine).stdout
    assert told.startswith("prepared models/motion/1.0.0.covey; it still needs:\n  snapshot")
    assert invoked(keys, "sign", repo, "--keys", server).stdout == "published\n"
    with pytest.raises(InputError, match="published already"):
        invoked(release(), *words, *mine)

    assert invoked(release(), "refresh", repo, "--keys", server, "--days", "3").stdout == "renewed\n"
    target, _ = tuf_repository.releases(repo)["models/motion/1.0.0.covey"]
    publisher = tuf_repository.OnlinePublisher(repo, server)
    from covey.rollout.plan import Image  # noqa: PLC0415 - here alone

    image = Image(
        name="motion",
        version="1.0.0",
        generation=1,
        target=target.path,
        sha256=target.hashes["sha256"],
        bytes=target.length,
    )
    publisher.instruction(instruction(1, image))
    told = invoked(release(), "bundle", repo, tmp_path / "stick").stdout
    assert len(told.splitlines()) == 2
    root = (repo / "metadata/1.root.json").read_bytes()
    device = Repository(root, tmp_path / "device", str(tmp_path / "stick"), time.time)
    assert device.check()
    device.fetch(image, tmp_path / "part", lambda *_: None)
    assert (tmp_path / "part").read_bytes() == package("1.0.0")


def begun(fleet: Path, tmp_path: Path) -> tuple[Path, list[object]]:
    repo = tmp_path / "repo"
    everything = ["--keys", fleet / "tuf", "--keys", tmp_path / "server"]
    everything += ["--passphrase-file", tmp_path / "secret"]
    told = invoked(keys, "init", fleet, repo, *everything).stdout
    assert told.startswith("published\ndevices begin with")
    return repo, everything


def test_rotate(fleet: Path, tmp_path: Path) -> None:
    repo, everything = begun(fleet, tmp_path)
    invoked(keys, "new", tmp_path / "new/snapshot", "--plain")
    invoked(keys, "new", tmp_path / "new/root-9", "--passphrase-file", tmp_path / "secret")
    with pytest.raises(InputError, match="there already"):
        invoked(keys, "new", tmp_path / "new/snapshot", "--plain")
    new = ("--keys", tmp_path / "new")
    change = f"snapshot={tmp_path}/new/snapshot.pub"
    assert invoked(keys, "rotate", repo, change, *everything, *new).stdout == "published\n"
    old = ("--replaces", fleet / "tuf/root-2.pub")
    change = f"root={tmp_path}/new/root-9.pub"
    assert invoked(keys, "rotate", repo, change, *old, *everything, *new).stdout == "published\n"
    told = invoked(keys, "status", repo).stdout
    assert "2 of root-1" in told
    assert "root-9" in told
    assert "root-2" not in told
    assert invoked(keys, "renew", repo, "targets", *everything, *new).stdout == "published\n"
    with pytest.raises(InputError, match="a role and its new key"):
        invoked(keys, "rotate", repo, "root", *everything)


def test_status_fails_when_somebody_must_act(
    fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo, _ = begun(fleet, tmp_path)
    assert CliRunner().invoke(keys, ["status", str(repo)]).exit_code == 0
    later = time.time() + 13 * 3600
    monkeypatch.setattr("covey_server.tuf_status.time.time", lambda: later)
    found = CliRunner().invoke(keys, ["status", str(repo)])
    assert found.exit_code == 1
    assert "! timestamp: 0.5 days left: the server's timer: covey release refresh" in found.stdout


def test_what_is_missing_is_said(fleet: Path, tmp_path: Path) -> None:
    repo, _ = begun(fleet, tmp_path)
    with pytest.raises(CoveyError, match="not renewed: timestamp: 1 more"):
        invoked(release(), "refresh", repo)
    assert not (repo / "staged").exists()
    with pytest.raises(InputError, match="FileNotFoundError"):
        invoked(release(), "publish", repo, tmp_path / "missing.covey", "--generation", "1")
    with pytest.raises(InputError, match="nothing in"):
        invoked(keys, "sign", repo, "--keys", tmp_path / "server")
    with pytest.raises(InputError, match="has no root yet"):
        invoked(keys, "status", tmp_path / "nowhere")


def test_a_passphrase_is_asked_for_encrypted_keys_alone(fleet: Path, tmp_path: Path) -> None:
    def unasked() -> str:
        raise AssertionError("a passphrase was asked for")

    assert len(signers_in([tmp_path / "server"], unasked)) == 3
    with pytest.raises(AssertionError):
        signers_in([fleet / "tuf"], unasked)
