"""The installer, into a folder; the units, as systemd reads them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from covey_client import doctor_command
from covey_client.configuration import read

DEPLOY = Path(__file__).parents[2] / "client" / "deploy"
UNITS = ("covey-agent.service", "covey-supernode.service")
ALIVE = ("covey-supernode-alive.service", "covey-supernode-alive.timer")
MOST_EXPOSED = 1.6
"""Of 10, as `systemd-analyze security` counts; 1.5 was measured with systemd 252."""


def install(root: Path, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        ["bash", DEPLOY / "install.sh", "--root", root, "--no-packages", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def tree(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        kept = path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (path.stat().st_mode, kept)
    return found


def test_twice_is_once(tmp_path: Path) -> None:
    said = install(tmp_path)
    made = tree(tmp_path)
    for name in (*UNITS, *ALIVE):
        assert f"file /etc/systemd/system/{name}" in said
        assert (tmp_path / "etc/systemd/system" / name).read_bytes() == (DEPLOY / name).read_bytes()
    assert "folder /var/lib/covey, mode 700" in said
    assert (tmp_path / "var/lib/covey").stat().st_mode & 0o777 == 0o700
    assert "covey device enrol" in said
    assert install(tmp_path) == "nothing to change\n"
    assert tree(tmp_path) == made


def test_a_dry_run_says_all_and_changes_nothing(tmp_path: Path) -> None:
    said = install(tmp_path, "--dry-run")
    assert tree(tmp_path) == {}
    assert said == install(tmp_path)


def test_a_file_that_was_changed_is_put_back_and_said(tmp_path: Path) -> None:
    install(tmp_path)
    unit = tmp_path / "etc/systemd/system/covey-agent.service"
    unit.write_text("changed")
    assert install(tmp_path).startswith("file /etc/systemd/system/covey-agent.service\n")
    assert unit.read_bytes() == (DEPLOY / "covey-agent.service").read_bytes()


def test_what_a_device_never_forgets_outlives_the_installation(tmp_path: Path) -> None:
    install(tmp_path)
    (tmp_path / "var/lib/covey/budget.jsonl").write_text("spent")
    (tmp_path / "etc/covey/device.toml").write_text("own")
    said = install(tmp_path, "--uninstall")
    assert "kept: /var/lib/covey (keys, budget, claims)" in said
    assert (tmp_path / "var/lib/covey/budget.jsonl").exists()
    assert (tmp_path / "etc/covey/device.toml").exists()
    assert not [*tmp_path.rglob("*.service"), *tmp_path.rglob("*.timer")]
    install(tmp_path, "--uninstall", "--purge")
    assert not [path for path in tmp_path.rglob("*") if "covey" in path.name]
    assert "nothing to change" in install(tmp_path, "--uninstall", "--purge")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--fast",), "--fast: no such option"),
        (("--python",), "--python needs a value"),
        (("--only", "half"), "--only half: there is no such part"),
        (("--only", "node", "--uninstall"), "--uninstall takes all away"),
        (("--wheel", "/nowhere.whl"), "/nowhere.whl is not there"),
        (("--python", "/bin/false"), "/bin/false is no Python 3.11 or newer"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(
    words: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    assert told in install(tmp_path, *words, status=1)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("part", "there", "not_there"), [("agent", "agent", "supernode"), ("node", "supernode", "agent")]
)
def test_a_part_alone(part: str, there: str, not_there: str, tmp_path: Path) -> None:
    install(tmp_path, "--only", part)
    assert (tmp_path / f"etc/systemd/system/covey-{there}.service").exists()
    assert not list(tmp_path.rglob(f"*{not_there}*"))
    assert install(tmp_path, "--only", part) == "nothing to change\n"
    install(tmp_path)
    assert {path.name for path in tmp_path.rglob("*.service")} == {*UNITS, ALIVE[0]}


def test_an_owner_with_a_strict_umask_gets_the_same(tmp_path: Path) -> None:
    install(tmp_path / "one")
    words = ["bash", str(DEPLOY / "install.sh"), "--root", str(tmp_path / "two"), "--no-packages"]
    subprocess.run(words, umask=0o077, check=True, capture_output=True, timeout=60)
    made = tree(tmp_path / "one")
    assert tree(tmp_path / "two") == made


def test_an_own_drop_in_outlives_the_installation(tmp_path: Path) -> None:
    install(tmp_path)
    folder = tmp_path / "etc/systemd/system/covey-supernode.service.d"
    (folder / "server.conf").write_text("[Service]\n")
    install(tmp_path, "--uninstall")
    assert [path.name for path in folder.iterdir()] == ["server.conf"]
    install(tmp_path)
    (folder / "server.conf").unlink()
    install(tmp_path, "--uninstall", "--dry-run")
    assert folder.exists()
    install(tmp_path, "--uninstall")
    assert not folder.exists()


def test_the_help_says_every_option() -> None:
    said = subprocess.run(
        ["bash", DEPLOY / "install.sh", "--help"], capture_output=True, text=True, check=True
    ).stdout
    script = (DEPLOY / "install.sh").read_text()
    cases = re.findall(r"^    ((?:--?[a-z-]+[ |]*)+)\)", script, re.MULTILINE)
    options = re.findall(r"--[a-z-]+", " ".join(cases))
    options.remove("--help")
    assert len(options) == 9
    for option in options:
        assert option in said
    assert "set -euo" not in said


def test_the_example_is_a_configuration() -> None:
    assert read(DEPLOY / "device.toml.example").socket.users == ["covey-node"]


def test_the_doctor_looks_for_these_units() -> None:
    assert set(doctor_command.UNITS) == set(UNITS)


def setting(unit: str, key: str) -> str:
    (found,) = re.findall(rf"^{key}=(.*)$", (DEPLOY / unit).read_text(), re.MULTILINE)
    return str(found)


def test_the_two_are_users_of_their_own_and_the_supernode_sees_nothing_of_the_device() -> None:
    assert [setting(unit, "User") for unit in UNITS] == ["covey", "covey-node"]
    hidden = setting("covey-supernode.service", "InaccessiblePaths")
    assert hidden == "-/var/lib/covey -/var/lib/covey-data -/etc/covey/device.toml -/run/dbus"
    for unit in UNITS:
        assert setting(unit, "CapabilityBoundingSet") == ""
        assert setting(unit, "NoNewPrivileges") == "yes"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """In a folder that has the programs, so that it has nothing to say."""
    (tmp_path / ALIVE[1]).write_bytes((DEPLOY / ALIVE[1]).read_bytes())
    for unit in (ALIVE[0], *UNITS):
        text = (DEPLOY / unit).read_text()
        program = re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE)[0]
        (tmp_path / unit).write_text(text.replace(program, "/bin/true"))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", tmp_path / unit],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_finds_them_hard_to_hurt() -> None:
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", *(DEPLOY / unit for unit in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout
    levels = re.findall(r"Overall exposure level for (\S+): ([0-9.]+)", said)
    if not levels:
        pytest.skip("this systemd-analyze cannot look at a unit's file")
    assert [name for name, _ in levels] == list(UNITS)
    assert all(float(level) <= MOST_EXPOSED for _, level in levels)
