import stat
from dataclasses import replace
from pathlib import Path

import pytest

from covey.errors import InputError
from covey.policy.signed import Reviewers
from covey.secagg.states import Me
from covey_io.device_keys import Keys, read_keys, write_keys
from digits_fleet import key
from memory_ledger import REVIEWER, SECOND

ME = Me("watch-7", key("identity"), key("enrolment"))
REVIEWERS = Reviewers((REVIEWER.verifier, SECOND.verifier), 2)
KEYS = Keys(ME, key("operator"), key("salt"), REVIEWERS)
SECRET = ("identity.key", "salt")
FILES = ("device.json", "operator.pub", "enrolment.pub", "reviewers.json", *SECRET)
NEEDED = tuple(name for name in FILES if name != "reviewers.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_keys(tmp_path / "keys", KEYS)
    return tmp_path / "keys"


def test_keys_come_back_as_they_were_written(folder: Path) -> None:
    assert read_keys(folder) == KEYS
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_a_device_may_know_no_reviewer(tmp_path: Path) -> None:
    alone = replace(KEYS, reviewers=None)
    write_keys(tmp_path, alone)
    assert read_keys(tmp_path) == alone
    assert not (tmp_path / "reviewers.json").exists()


@pytest.mark.parametrize("name", SECRET)
def test_secrets_are_for_their_owner_only(folder: Path, name: str) -> None:
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_secrets_are_not_shown() -> None:
    for secret in (KEYS.me.private, KEYS.salt):
        assert secret.hex() not in repr(KEYS)
        assert repr(secret) not in repr(KEYS)


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=name) as caught:
        read_keys(folder)
    assert caught.value.hint


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("data", [b"", b"secret-words", b"\xff\xfe\xff", b"ab" * 31, b"ab" * 33])
def test_a_damaged_file_is_named_and_not_shown(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    with pytest.raises(InputError, match=name) as caught:
        read_keys(folder)
    assert "secret-words" not in str(caught.value)
    assert "abab" not in str(caught.value)


VKEY = REVIEWER.verifier.vkey


@pytest.mark.parametrize(
    "data",
    [
        b'{"threshold": 1, "keys": []}',
        b'{"threshold": 0, "keys": ["%s"]}' % VKEY.encode(),
        b'{"threshold": 2, "keys": ["%s"]}' % VKEY.encode(),
        b'{"threshold": 2, "keys": ["%s", "%s"]}' % (VKEY.encode(), VKEY.encode()),
        b'{"threshold": 1, "keys": ["%s"], "more": 1}' % VKEY.encode(),
        b'{"threshold": 1, "keys": ["%s"]}' % VKEY.swapcase().encode(),
        b'{"keys": ["%s"]}' % VKEY.encode(),
        b"null",
        b"[]",
    ],
    ids=[
        "no key",
        "none must sign",
        "too few",
        "one twice",
        "a field too many",
        "a key misspelt",
        "no threshold",
        "null",
        "a list",
    ],
)
def test_reviewers_that_cannot_be_used_are_never_taken_for_none(folder: Path, data: bytes) -> None:
    (folder / "reviewers.json").write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_keys(folder)
    assert caught.value.hint


def test_reviewers_that_cannot_be_read_are_never_taken_for_none(folder: Path) -> None:
    (folder / "reviewers.json").unlink()
    (folder / "reviewers.json").mkdir()
    with pytest.raises(InputError, match=r"reviewers\.json"):
        read_keys(folder)
