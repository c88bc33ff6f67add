"""A pilot's keys: what is written is what server and devices read, and private keys are private."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from covey.errors import InputError
from covey.identity import public_of
from covey_io.device_keys import read_keys
from covey_server.commands import fleet
from covey_server.fleet_keys import make_fleet
from covey_server.operator import read_operator

NAMES = ["pi-2", "pi-1", "pi-10"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "keys"
    make_fleet(made, "lab", NAMES, 30)
    return made


def test_server_and_devices_read_what_was_made(folder: Path) -> None:
    operator = read_operator(folder / "operator")
    assert [each.device for each in operator.roster.certificates] == sorted(NAMES)
    assert not operator.roster.simulation
    for certificate in operator.roster.certificates:
        keys = read_keys(folder / "devices" / certificate.device)
        assert keys.me.device == certificate.device
        assert public_of(keys.me.private) == certificate.key
        assert keys.operator == public_of(operator.private)


def test_the_enrolment_key_is_neither_the_operator_s_nor_with_it(folder: Path) -> None:
    enrolment = (folder / "enrolment/enrolment.key").read_text()
    elsewhere = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "enrolment"]
    assert not [path for path in elsewhere if enrolment.encode() in path.read_bytes()]
    keys = read_keys(folder / "devices/pi-1")
    assert keys.me.enrolment == public_of(bytes.fromhex(enrolment)) != keys.operator


def test_private_keys_are_for_their_owner_only(folder: Path) -> None:
    private = [*folder.rglob("*.key")]
    assert len(private) == 2 + len(NAMES)
    assert all(path.stat().st_mode & 0o077 == 0 for path in [folder, *private])


def test_keys_are_never_overwritten(folder: Path) -> None:
    with pytest.raises(InputError, match="there already"):
        make_fleet(folder, "lab", NAMES, 30)


@pytest.mark.parametrize("names", [["../x"], ["a/b"], ["a\nb"], [""], ["a", "a"], ["x" * 65]])
def test_unusable_names_are_refused_before_anything_is_written(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InputError):
        make_fleet(tmp_path / "keys", "lab", names, 30)
    assert not (tmp_path / "keys").exists()


def test_the_command_says_what_goes_where(tmp_path: Path) -> None:
    found = CliRunner().invoke(fleet, ["init", str(tmp_path / "keys"), *NAMES])
    assert found.exit_code == 0
    assert "keep offline" in found.output
    assert read_operator(tmp_path / "keys/operator").roster.fleet == "fleet"
