import stat
from pathlib import Path

import pytest

from covey.errors import InputError
from covey.secagg.states import Me
from covey_io.device_keys import Keys, read_keys, write_keys
from digits_fleet import key

KEYS = Keys(Me("watch-7", key("identity"), key("enrolment")), key("operator"))
FILES = ("device.json", "identity.key", "operator.pub", "enrolment.pub")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_keys(tmp_path / "keys", KEYS)
    return tmp_path / "keys"


def test_keys_come_back_as_they_were_written(folder: Path) -> None:
    assert read_keys(folder) == KEYS
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_the_private_key_is_for_its_owner_only(folder: Path) -> None:
    assert stat.S_IMODE((folder / "identity.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_private_key_is_not_shown() -> None:
    assert KEYS.me.private.hex() not in repr(KEYS)
    assert repr(KEYS.me.private) not in repr(KEYS)


@pytest.mark.parametrize("name", FILES)
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
