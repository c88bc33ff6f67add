import gzip
from pathlib import Path

import numpy as np
import pytest

from covey.errors import DataError
from covey_simulations.data.idx import read_idx

HEADER = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3])
NUMBERS = bytes(range(6))


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


def test_numbers_in_row_major_order(tmp_path: Path) -> None:
    array = read_idx(write(tmp_path / "a.gz", HEADER + NUMBERS), (2, 3), hint="")
    assert array.dtype == np.uint8
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (HEADER[:7], "not an IDX file"),
        (HEADER[:2] + b"\x0d" + HEADER[3:] + NUMBERS, "not an IDX file"),  # floats
        (HEADER[:-1] + b"\x04" + NUMBERS + b"\0\0", "not an IDX file"),  # another shape
        (HEADER + NUMBERS[:-1], "shorter"),
        (HEADER + NUMBERS + b"\0", "longer"),
    ],
)
def test_anything_else_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path / "bad.gz", content)
    with pytest.raises(DataError, match=rf"bad\.gz: {message}") as refused:
        read_idx(path, (2, 3), hint="the next step")
    assert refused.value.hint == "the next step"


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(HEADER + NUMBERS)
    for content in (b"no archive", whole[:-9], whole[:14] + b"\xff" * 8):
        path = tmp_path / "broken.gz"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"broken\.gz: cannot be unpacked"):
            read_idx(path, (2, 3), hint="")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.gz: no such file"):
        read_idx(tmp_path / "absent.gz", (2, 3), hint="")
