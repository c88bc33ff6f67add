from pathlib import Path

import pytest

from covey.errors import CoveyError, InputError, ProtocolError
from covey.identity import Roster, public_of, sign_roster
from covey_server.operator import read_operator
from digits_fleet import ENROLMENT, OPERATOR, operator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "operator.key").write_text(OPERATOR.hex() + "\n")
    (tmp_path / "enrolment.pub").write_text(public_of(ENROLMENT).hex() + "\n")
    (tmp_path / "roster").write_bytes(operator([2, 3, 4], simulation=False).roster_sent)
    return tmp_path


def test_key_and_roster_are_read(folder: Path) -> None:
    found = read_operator(folder)
    assert found.private == OPERATOR
    assert [each.device for each in found.roster.certificates] == ["device-002", "device-003", "device-004"]
    assert found.roster_sent == (folder / "roster").read_bytes()
    assert found.reference.serial == found.roster.serial == 1


def test_the_private_key_is_not_shown(folder: Path) -> None:
    assert OPERATOR.hex() not in repr(read_operator(folder))
    assert repr(OPERATOR) not in repr(read_operator(folder))


@pytest.mark.parametrize("name", ["operator.key", "enrolment.pub", "roster"])
def test_a_missing_file_is_said_with_what_to_do(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=r"holds no operator's key and roster") as caught:
        read_operator(folder)
    assert "masks = false" in caught.value.hint


@pytest.mark.parametrize("content", ["", "xyz", "ab" * 31, "ab" * 33, "é" * 64])
@pytest.mark.parametrize("name", ["operator.key", "enrolment.pub"])
def test_what_is_no_key_is_refused_without_showing_it(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content, "utf-8")
    with pytest.raises(CoveyError) as caught:
        read_operator(folder)
    assert not content or content not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("content", [b"", b"\xc1", b"hello"])
def test_what_is_no_roster_is_refused(folder: Path, content: bytes) -> None:
    (folder / "roster").write_bytes(content)
    with pytest.raises(ProtocolError):
        read_operator(folder)


def test_a_roster_that_another_key_signed_is_refused(folder: Path) -> None:
    (folder / "enrolment.pub").write_text(public_of(OPERATOR).hex())
    with pytest.raises(ProtocolError, match="signature"):
        read_operator(folder)


def test_an_expired_roster_is_refused(folder: Path) -> None:
    (folder / "roster").write_bytes(sign_roster(Roster("lab", 1, 1_000_000, False, ()), ENROLMENT))
    with pytest.raises(ProtocolError, match="expired"):
        read_operator(folder)
