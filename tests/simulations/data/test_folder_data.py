from pathlib import Path
from typing import Any

import numpy as np
import pytest

from covey.errors import DataError
from covey_simulations.data import folder


def write(path: Path, count: int = 8, **changes: Any) -> Path:
    """A device's file with `count` examples of shape (2, 3); `changes` replace arrays, None removes one."""
    arrays: dict[str, Any] = {
        "x": np.arange(count * 6, dtype=np.float64).reshape(count, 2, 3),
        "y": np.arange(count) % 3,
    }
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    write(tmp_path / "attic.npz")
    write(tmp_path / "kitchen.npz", count=9)
    return tmp_path


def test_one_device_per_file_named_after_it(devices: Path) -> None:
    data = folder.load(devices)
    assert list(data.devices) == ["attic", "kitchen"]
    assert data.groups == {"attic": "attic", "kitchen": "kitchen"}
    assert data.input_shape == (2, 3)
    assert data.labels == ("0", "1", "2")
    assert data.licence == "not stated"


def test_the_last_quarter_in_order_is_held_out(devices: Path) -> None:
    local = folder.load(devices).devices["kitchen"]
    assert (len(local.train), len(local.held_out)) == (6, 3)
    assert local.train.x.max() < local.held_out.x.min()
    assert local.train.x.dtype == np.float32
    assert local.train.y.dtype == np.int64


def test_a_device_may_bring_its_own_test_part(devices: Path) -> None:
    write(devices / "attic.npz", held_x=np.ones((2, 2, 3), np.float16), held_y=np.array([1, 2], np.uint8))
    local = folder.load(devices).devices["attic"]
    assert (len(local.train), len(local.held_out)) == (8, 2)
    assert local.held_out.y.tolist() == [1, 2]


def test_a_text_file_names_the_classes(devices: Path) -> None:
    (devices / "labels.txt").write_text("quiet\nrattle\n\nleak\n", encoding="utf-8")
    assert folder.load(devices).labels == ("quiet", "rattle", "leak")


NOT_A_NUMBER = np.full((8, 2, 3), np.nan)
TOO_LARGE = np.full((8, 2, 3), 1e300)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": NOT_A_NUMBER}, "x: 48 values are not finite"),
        ({"x": TOO_LARGE}, "x: 48 values are not finite in float32"),
        ({"x": np.ones((8, 2, 3), np.int32)}, r"x: int32 of shape \(8, 2, 3\), expected floats"),
        ({"x": np.ones(8)}, r"x: float64 of shape \(8,\)"),
        ({"x": np.ones((0, 2, 3)), "y": np.ones(0, np.int64)}, "x: empty"),
        ({"x": np.ones((1, 2, 3)), "y": np.ones(1, np.int64)}, "x: one example"),
        ({"x": np.array([{}] * 8)}, "x: cannot be read: Object arrays"),
        ({"x": np.ones((8, 3, 2))}, r"x: inputs of shape \(3, 2\), but \(2, 3\) in attic\.npz"),
        ({"x": np.ones((7, 2, 3))}, "7 inputs in x and 8 labels in y"),
        ({"x": None}, r"arrays \['y'\]"),
        ({"y": np.ones(8)}, "y: float64"),
        ({"y": np.ones((8, 1), np.int64)}, r"y: int64 of shape \(8, 1\)"),
        ({"y": np.array([0, -1] * 4)}, "y: labels from -1 to 0"),
        ({"y": np.array([0, 1000] * 4)}, "y: labels from 0 to 1000, expected 0 to 999"),
        ({"y": np.array([0, 2**64 - 1] * 4, np.uint64)}, "y: labels from 0 to 18446744073709551615"),
        ({"held_x": np.ones((2, 2, 3))}, "arrays"),
        ({"held_X": np.ones((2, 2, 3)), "held_y": np.ones(2, np.int64)}, "arrays"),
        ({"held_x": NOT_A_NUMBER, "held_y": np.arange(8) % 3}, "held_x: 48 values"),
        ({"held_x": np.ones((2, 2, 3)), "held_y": np.array([0, -7])}, "held_y: labels from -7"),
        ({"held_x": np.ones((2, 3, 2)), "held_y": np.array([0, 1])}, "held_x: inputs of shape"),
        ({"held_x": np.ones((0, 2, 3)), "held_y": np.ones(0, np.int64)}, "held_x: empty"),
    ],
)
def test_a_wrong_array_is_refused_by_file_and_name(
    devices: Path, changes: dict[str, Any], message: str
) -> None:
    write(devices / "kitchen.npz", **changes)
    with pytest.raises(DataError, match=rf"kitchen\.npz: {message}"):
        folder.load(devices)


def test_a_label_beyond_the_named_classes_is_refused(devices: Path) -> None:
    (devices / "labels.txt").write_text("quiet\nrattle\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"attic\.npz: y: labels from 0 to 2, expected 0 to 1") as refused:
        folder.load(devices)
    assert "labels.txt" in refused.value.hint


def test_class_names_must_differ(devices: Path) -> None:
    (devices / "labels.txt").write_text("quiet\nquiet\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"labels\.txt"):
        folder.load(devices)


def test_what_is_no_archive_is_refused(devices: Path) -> None:
    (devices / "kitchen.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"kitchen\.npz: not an \.npz file"):
        folder.load(devices)


def test_a_damaged_array_is_refused(devices: Path) -> None:
    path = devices / "kitchen.npz"
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF  # inside x: its checksum no longer holds
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"kitchen\.npz: x: cannot be read"):
        folder.load(devices)


@pytest.mark.parametrize("files", [0, 1])
def test_a_federation_needs_two_devices(tmp_path: Path, files: int) -> None:
    for number in range(files):
        write(tmp_path / f"{number}.npz")
    with pytest.raises(DataError, match=rf"{files} \.npz files, expected at least two"):
        folder.load(tmp_path)
