"""`covey fleet`: from an empty fleet to devices that were admitted, by hand and by invitation."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from commands import invoked
from covey.enrolment import fingerprint, read_admission
from covey.errors import InputError
from covey.invitation import read_token
from covey_server.commands import fleet as app
from covey_server.fleet_owner import OwnedFleet
from covey_server.fleet_table import ROLES
from covey_server.key_files import is_encrypted
from made_fleet import desk_of, device, roster_of, submission

SECRET = "correct horse battery"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("COVEY_PASSPHRASE", raising=False)
    (tmp_path / "secret").write_text(SECRET + "\n")
    options = ["--name", "lab", "--host", "fleet.example", "--host", "10.0.0.1", "--days", 9]
    invoked(app, "init", tmp_path / "fleet", *options, "--passphrase-file", tmp_path / "secret")
    return tmp_path / "fleet"


@pytest.fixture
def secret(folder: Path) -> tuple[str, str]:
    return "--passphrase-file", str(folder.parent / "secret")


def request(folder: Path, name: str) -> Path:
    device(folder.parent, name)
    return folder.parent / name / "request.json"


def submit(folder: Path, token: str, name: str) -> None:
    """As the device would, over the network."""

    asked = device(folder.parent, name)
    data = msgspec.json.encode(submission(asked, read_token(token))) + b"\n"
    assert desk_of(OwnedFleet.open(folder)).submit(data, 0).status == 202


class TestShow:
    def test_every_key_is_listed_with_where_it_should_live(self, folder: Path) -> None:
        told = invoked(app, "show", folder).stdout
        assert told.startswith("fleet lab, https://fleet.example\n")
        for role in ROLES:
            assert role.private in told
        assert told.endswith("\n")
        assert re.search(r"admits devices .* encrypted +with the fleet's owner, offline", told)
        assert re.search(r"signs plans .* readable +the server's host", told)
        shown = fingerprint(OwnedFleet.open(folder).enrolment_key())
        assert f"enrolment/enrolment.key  {shown}" in told

    def test_no_private_key_is_left_out(self, folder: Path) -> None:
        private = {
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.suffix in {".key", ".pem"} and "invitations" not in path.parts
        }
        assert private == {role.private for role in ROLES}

    def test_keys_that_moved_where_they_belong_are_still_known(self, folder: Path) -> None:
        (folder / "tuf/root-1.key").unlink()
        (folder / "operator/operator.key").unlink()
        facts = json.loads(invoked(app, "show", folder, "--json").stdout)
        rows = {each["file"]: each for each in facts["keys"]}
        assert rows["tuf/root-1.key"]["state"] == "not here"
        assert rows["tuf/root-1.key"]["fingerprint"]
        assert "operator/operator.key" not in rows
        assert facts["roster"] == {"serial": 1, "expires": facts["roster"]["expires"], "devices": 0}
        assert (facts["fleet"], facts["server"]) == ("lab", "https://fleet.example")

    def test_what_is_no_key_is_said(self, folder: Path) -> None:
        (folder / "operator/log.vkey").write_text("nothing")
        with pytest.raises(InputError, match=r"log\.vkey is no key"):
            invoked(app, "show", folder)


class TestPassphrase:
    def test_keys_that_people_use_are_encrypted_and_the_servers_are_not(self, folder: Path) -> None:
        encrypted = {
            str(path.relative_to(folder)) for path in folder.rglob("*.key") if is_encrypted(path.read_bytes())
        }
        assert encrypted == {
            *("enrolment/enrolment.key", "enrolment/ca.key"),
            *("tuf/root-1.key", "tuf/root-2.key", "tuf/root-3.key", "tuf/targets.key", "tuf/models.key"),
        }

    def test_without_it_nobody_is_admitted(self, folder: Path) -> None:
        with pytest.raises(InputError, match="a passphrase is needed"):
            invoked(app, "approve", folder, request(folder, "pi-1"), "--yes")
        (folder.parent / "secret").write_text("another one\n")
        with pytest.raises(InputError, match="not with this passphrase"):
            invoked(
                app,
                "approve",
                folder,
                request(folder, "pi-1"),
                "--yes",
                "--passphrase-file",
                folder.parent / "secret",
            )
        assert roster_of(OwnedFleet.open(folder)).serial == 1

    def test_a_fleet_without_one_is_warned(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("COVEY_PASSPHRASE", raising=False)
        assert "not encrypted" in invoked(app, "init", tmp_path / "fleet").stderr


class TestApprove:
    def test_the_fingerprint_is_compared_by_somebody(self, folder: Path, secret: tuple[str, str]) -> None:
        path = request(folder, "pi-1")
        shown = device(folder.parent, "pi-1").fingerprint
        for answer, serial in (("n\n", 1), ("y\n", 2)):
            found = CliRunner().invoke(app, ["approve", str(folder), str(path), *secret], input=answer)
            assert found.exit_code == 0
            assert f"pi-1  {shown}  not proved: compare" in found.stdout
            assert roster_of(OwnedFleet.open(folder)).serial == serial
        with pytest.raises(InputError, match="nobody answered"):
            invoked(app, "approve", folder, request(folder, "pi-2"), *secret)

    def test_admissions_are_written_where_they_are_wanted(
        self, folder: Path, secret: tuple[str, str]
    ) -> None:
        out = folder.parent / "answer.json"
        told = invoked(app, "approve", folder, request(folder, "pi-1"), "--yes", "-o", out, *secret)
        assert read_admission(out.read_bytes()).admission.device == "pi-1"
        assert "bring it to the server" in told.stderr
        both = [request(folder, name) for name in ("pi-2", "pi-3")]
        invoked(app, "approve", folder, *both, "--yes", "-o", folder.parent / "answers", *secret)
        found = sorted(path.name for path in (folder.parent / "answers").iterdir())
        assert found == ["pi-2.admission.json", "pi-3.admission.json"]

    def test_the_invited_need_no_comparing_and_nobody_else_comes_with_them(
        self, folder: Path, secret: tuple[str, str]
    ) -> None:
        tokens = [
            invoked(app, "invite", folder, "--device", f"pi-{number}").stdout.strip() for number in (1, 2)
        ]
        submit(folder, tokens[0], "pi-1")
        submit(folder, tokens[1], "pi-2")
        (swapped,) = (folder / "operator/pending").glob(f"{device(folder.parent, 'pi-2').digest}.json")
        swapped.write_bytes((folder.parent / "pi-2/request.json").read_bytes())  # without its proof
        told = invoked(app, "approve", folder, "--pending", "--invited", *secret).stdout
        assert "admitted pi-1" in told
        assert "admitted pi-2" not in told
        assert [each.device for each in roster_of(OwnedFleet.open(folder)).certificates] == ["pi-1"]
        assert invoked(app, "approve", folder, "--pending", "--invited", *secret).stdout.endswith(
            "nobody was admitted\n"
        )

    def test_which_requests_must_be_said(self, folder: Path) -> None:
        for arguments in ([], ["--pending", folder / "x"]):
            with pytest.raises(InputError, match="which requests"):
                invoked(app, "approve", folder, *arguments)
        with pytest.raises(InputError, match="FileNotFoundError"):
            invoked(app, "approve", folder, folder / "missing")
        with pytest.raises(InputError, match="cannot be used"):
            invoked(app, "approve", folder, folder / "enrolment/fleet.json")


class TestInvite:
    def test_a_script_reads_the_token_and_a_person_what_to_do(self, folder: Path) -> None:
        found = invoked(app, "invite", folder, "--device", "pi-1")
        assert read_token(found.stdout).text == found.stdout.strip()
        assert "covey device enrol --server https://fleet.example --name pi-1" in found.stderr
        assert found.stdout.strip() not in found.stderr
        found = invoked(app, "invite", folder, "--server", "https://other.example:8443")
        assert "--server https://other.example:8443 --name NAME" in found.stderr
        with pytest.raises(InputError, match="no server's URL"):
            invoked(app, "invite", folder, "--server", "other")

    def test_who_waits_is_listed_and_may_be_refused(self, folder: Path) -> None:
        submit(folder, invoked(app, "invite", folder).stdout.strip(), "pi-1")
        assert "pi-1  waits  " in invoked(app, "list", folder).stdout
        (path,) = (folder / "operator/pending").iterdir()
        assert "refused pi-1 " in invoked(app, "refuse", folder, path).stdout
        assert json.loads(invoked(app, "list", folder, "--json").stdout)["waiting"] == []


class TestMembers:
    def test_they_are_listed_labelled_renamed_revoked_and_renewed(
        self, folder: Path, secret: tuple[str, str]
    ) -> None:
        both = [request(folder, name) for name in ("pi-1", "pi-2")]
        invoked(app, "approve", folder, *both, "--yes", *secret)
        assert "site=hall" in invoked(app, "label", folder, "pi-1", "site=hall", "owner=anna").stdout
        assert "site" not in invoked(app, "label", folder, "pi-1", "site-").stdout
        invoked(app, "rename", folder, "pi-1", "the pump")
        assert "roster 3: 1 devices" in invoked(app, "revoke", folder, "pi-2", *secret).stdout
        assert "roster 4: 1 devices" in invoked(app, "renew", folder, "--days", 3, *secret).stdout
        lines = invoked(app, "list", folder).stdout.splitlines()
        assert re.fullmatch(r'pi-1  "the pump"  since \S+  owner=anna', lines[0])
        assert re.fullmatch(r"pi-2  since \S+  revoked \S+", lines[1])
        facts = json.loads(invoked(app, "list", folder, "--json").stdout)
        assert [each["device"] for each in facts["devices"]] == ["pi-1", "pi-2"]

    @pytest.mark.parametrize("label", ["site", "=x", "site=", "-", ""])
    def test_what_is_no_label_is_said(self, folder: Path, label: str) -> None:
        with pytest.raises(InputError, match="is no label"):
            invoked(app, "label", folder, "pi-1", "--", label)

    def test_the_server_may_move(self, folder: Path, secret: tuple[str, str]) -> None:
        invoked(
            app, "renew", folder, "--host", "new.example", "--server", "https://new.example:8443", *secret
        )
        about = OwnedFleet.open(folder).about
        assert (about.server, about.hosts) == ("https://new.example:8443", ("new.example",))


@pytest.mark.parametrize(
    "options", [["--host", "a b"], ["--host", ""], ["--server", "x"], ["--server", "https://x\n"]]
)
def test_what_cannot_be_a_server_is_said_before_anything_is_written(
    tmp_path: Path, options: list[str]
) -> None:
    with pytest.raises(InputError):
        invoked(app, "init", tmp_path / "fleet", *options)
    assert not (tmp_path / "fleet").exists()
