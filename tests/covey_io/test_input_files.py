"""What a person reads where a file that they named cannot be read."""

from pathlib import Path

import pytest

from covey.errors import InputError
from covey_io.input_files import read_file


def test_the_content_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a\0b\r\n")
    assert read_file(tmp_path / "a") == b"a\0b\r\n"


def test_a_missing_file_and_a_folder_are_named_with_the_systems_reason(tmp_path: Path) -> None:
    with pytest.raises(InputError) as missing:
        read_file(tmp_path / "gone")
    assert missing.value.message == f"{tmp_path}/gone: no such file or directory"
    assert missing.value.hint == "check the path"
    with pytest.raises(InputError, match="is a directory"):
        read_file(tmp_path)
