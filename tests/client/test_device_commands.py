"""`covey device request|accept|enrol`: by files that somebody carries, and over the network."""

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands import invoked
from covey.enrolment import fingerprint, read_request
from covey.errors import CoveyError, InputError
from covey_client.device_commands import device as app
from covey_io.device_enrolment import is_enrolled
from covey_io.device_keys import read_keys
from covey_server import fleet_invitations
from covey_server.fleet_owner import OwnedFleet
from enrolment_endpoint import running
from made_fleet import HOUR, keys_of, made


@pytest.fixture
def fleet(tmp_path: Path) -> OwnedFleet:
    return made(tmp_path / "fleet")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def answered(fleet: OwnedFleet, keys: Path, tmp_path: Path) -> Path:
    """An admission, as somebody carried it here."""
    invoked(app, "request", "--name", "pi-1", "--keys", keys, "-o", tmp_path / "request.json")
    asked = read_request((tmp_path / "request.json").read_bytes())
    (answer,) = fleet.admit(keys_of(fleet), [asked], int(time.time()))
    (tmp_path / "admission.json").write_bytes(answer)
    return tmp_path / "admission.json"


class TestByFiles:
    def test_the_request_shows_what_the_owner_compares(self, keys: Path, tmp_path: Path) -> None:
        arguments = ("request", "--name", "pi-1", "--keys", keys, "-o", tmp_path / "r.json")
        told = invoked(app, *arguments).stdout
        asked = read_request((tmp_path / "r.json").read_bytes())
        assert f"device pi-1, its key: {asked.fingerprint}\n" in told
        before = (tmp_path / "r.json").read_bytes()
        assert invoked(app, *arguments).stdout == told
        assert invoked(app, "request", "--keys", keys, "-o", tmp_path / "r.json").stdout == told
        assert (tmp_path / "r.json").read_bytes() == before

    def test_the_admission_enrols_with_a_fingerprint(
        self, fleet: OwnedFleet, keys: Path, answered: Path
    ) -> None:
        shown = fingerprint(fleet.enrolment_key())
        told = invoked(app, "accept", answered, "--keys", keys, "--fingerprint", shown.upper()).stdout
        assert f"fleet 'lab', its owner's key: {shown}\n" in told
        assert read_keys(keys).me.device == "pi-1"

    def test_or_with_somebody_who_compares_it(self, keys: Path, answered: Path) -> None:
        arguments = ["accept", str(answered), "--keys", str(keys)]
        refused = CliRunner().invoke(app, arguments, input="n\n")
        assert isinstance(refused.exception, InputError)
        assert not is_enrolled(keys)
        assert CliRunner().invoke(app, arguments, input="y\n").exit_code == 0
        assert is_enrolled(keys)

    def test_else_with_nobody(self, fleet: OwnedFleet, keys: Path, answered: Path) -> None:
        with pytest.raises(InputError, match="nobody compared"):
            invoked(app, "accept", answered, "--keys", keys)
        for wrong in (fingerprint(b"another"), "", fingerprint(fleet.enrolment_key())[:-1]):
            with pytest.raises(InputError, match="of another fleet"):
                invoked(app, "accept", answered, "--keys", keys, "--fingerprint", wrong)
        assert not is_enrolled(keys)

    def test_what_is_no_admission_is_said(self, keys: Path, answered: Path, tmp_path: Path) -> None:
        with pytest.raises(CoveyError, match=r"cannot be used|does not hold"):
            invoked(app, "accept", tmp_path / "request.json", "--keys", keys)
        answered.write_bytes(answered.read_bytes() + b" " * (1 << 20))
        with pytest.raises(CoveyError, match="at most"):
            invoked(app, "accept", answered, "--keys", keys)
        with pytest.raises(InputError, match="FileNotFoundError"):
            invoked(app, "accept", tmp_path / "missing", "--keys", keys)


class TestOverTheNetwork:
    def test_with_a_token_from_a_file_or_standard_input(
        self, fleet: OwnedFleet, keys: Path, tmp_path: Path
    ) -> None:
        token = fleet_invitations.invite(fleet, "pi-1", int(time.time()) + HOUR)
        (tmp_path / "token").write_text(token.text + "\n")
        with running(fleet, tls=True) as endpoint:
            arguments = [
                "enrol",
                "--server",
                endpoint.url,
                "--name",
                "pi-1",
                "--keys",
                str(keys),
                "--wait",
                "0",
            ]
            with pytest.raises(CoveyError, match="not admitted yet"):
                invoked(app, *arguments, "--token-file", tmp_path / "token")
            waited = fleet_invitations.waiting(fleet)
            fleet_invitations.admit(fleet, keys_of(fleet), waited, int(time.time()))
            found = CliRunner().invoke(app, [*arguments, "--token-file", "-"], input=token.text)
            assert found.exit_code == 0, found.output
            assert "enrolled as pi-1 in fleet 'lab'" in found.stdout
            assert token.text not in found.output
            again = invoked(app, "enrol", "--server", endpoint.url, "--keys", keys, "--wait", "0")
        assert "enrolled as pi-1" in again.stdout

    def test_what_is_missing_is_said(self, keys: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="which server"):
            invoked(app, "enrol", "--name", "pi-1", "--keys", keys)
        with pytest.raises(InputError, match="a token is needed"):
            invoked(app, "enrol", "--server", "https://192.0.2.1", "--name", "pi-1", "--keys", keys)
        with pytest.raises(InputError, match="the token"):
            invoked(app, "enrol", "--token", "covey1-x", "--keys", keys)
        with pytest.raises(InputError, match="two tokens"):
            invoked(app, "enrol", "--token", "covey1-x", "--token-file", tmp_path / "x", "--keys", keys)
        with pytest.raises(InputError, match="FileNotFoundError"):
            invoked(app, "enrol", "--token-file", tmp_path / "x", "--keys", keys)
