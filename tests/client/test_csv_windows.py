"""Examples from CSV files."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import ConfigError, DataError
from covey.examples import Examples
from covey_client.csv_windows import CsvSchema, check, decoded, fingerprint

WRIST = CsvSchema(channels=("ax", "ay"), label="activity", window=2, labels={"walk": 0, "run": 1})
NUMBERED = CsvSchema(channels=(0, 1), label=2, header=False)

TABLE = """time,ay,activity,ax
1,10,walk,0
2,11,walk,1
3,12,walk,2
4,13,run,3
5,14,run,4
6,15,run,5
7,16,run,6
"""


def changed(schema: CsvSchema, **changes: Any) -> CsvSchema:
    return msgspec.structs.replace(schema, **changes)


def read(text: str, schema: CsvSchema, told: list[str] | None = None) -> Examples:
    return decoded(text.encode(), "a.csv", schema, 2, ([] if told is None else told).append)


def test_windows_are_of_one_label_and_do_not_overlap() -> None:
    examples = read(TABLE, WRIST)
    assert examples.x.dtype == np.float32
    assert examples.x.tolist() == [[[0, 1], [10, 11]], [[3, 4], [13, 14]], [[5, 6], [15, 16]]]
    assert examples.y.tolist() == [0, 1, 1]


def test_without_a_window_every_row_is_an_example() -> None:
    examples = read("0.5;1e3;1\r\n-2; 3 ;0\r\n", changed(NUMBERED, separator=";"))
    assert examples.x.tolist() == [[0.5, 1000], [-2, 3]]
    assert examples.y.tolist() == [1, 0]


def test_rows_between_windows_may_be_left_out() -> None:
    rows = "".join(f"{number},0,0\n" for number in range(10))
    examples = read(rows, changed(NUMBERED, window=2, step=4))
    assert examples.x[:, 0].tolist() == [[0, 1], [4, 5], [8, 9]]


def test_a_file_may_have_no_example() -> None:
    assert read("ax,ay,activity\n1,2,walk\n", WRIST).x.shape == (0, 2, 2)
    assert read("", NUMBERED).x.shape == (0, 2)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("1,2,3", "3 values, expected 4"),
        ("1,x,walk,0", "'x' is no number"),
        ("1,,walk,0", "'' is no number"),
        ("1,nan,walk,0", "'nan' is not finite"),
        ("1,2,walk,1e39", "'1e39' is not finite"),
        ("1,2,swim,0", "label 'swim' is none of walk, run"),
    ],
)
def test_a_bad_row_spoils_its_file_or_ends_a_window(row: str, what: str) -> None:
    lines = TABLE.splitlines()
    text = "\n".join([*lines[:3], row, *lines[3:]])
    with pytest.raises(DataError) as caught:
        read(text, WRIST)
    assert caught.value.message == f"a.csv:4: {what}"
    told: list[str] = []
    examples = read(text, changed(WRIST, bad_rows="skip"), told)
    assert told == [f"rows were skipped: a.csv:4: {what}"]
    assert examples.x[:, 0].tolist() == [[0, 1], [3, 4], [5, 6]]


def test_a_window_never_spans_a_row_that_was_skipped() -> None:
    told: list[str] = []
    examples = read("1,0,0\nbad,0,0\n2,0,0\n3,0,0\n", changed(NUMBERED, window=2, bad_rows="skip"), told)
    assert examples.x[:, 0].tolist() == [[2, 3]]


def test_of_many_bad_rows_the_first_are_told() -> None:
    with pytest.raises(DataError, match=r"^a.csv:1: .*; a.csv:2: .*; a.csv:3: .*; and 7 more \("):
        read("?,0,0\n" * 10, NUMBERED)


@pytest.mark.parametrize("label", ["2", "-1", "1.0", "", "²", "9" * 5000])
def test_labels_that_are_numbers_lie_below_the_classes(label: str) -> None:
    with pytest.raises(DataError, match="expected 0 to 1"):
        read(f"1,2,{label}\n", NUMBERED)


def test_columns_that_are_not_there_are_named() -> None:
    with pytest.raises(DataError, match=r"a.csv:1: 0 columns 'ay' among ax, az, activity"):
        read("ax,az,activity\n", WRIST)
    with pytest.raises(DataError, match=r"a.csv:1: 2 columns 'ax'"):
        read("ax,ax,ay,activity\n", WRIST)


@pytest.mark.parametrize("data", [b"\xff\xfe1,2,0\n", b'"1,2,0\n', b"1,2\x00,0\n"])
def test_what_is_no_csv_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.csv"):
        decoded(data, "a.csv", NUMBERED, 2, print)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"step": 1}, "step"),
        ({"channels": ()}, "channels"),
        ({"channels": ("ax", 1)}, "channels"),
        ({"channels": ("ax", "ax")}, "channels"),
        ({"channels": ("ax", "activity")}, "channels"),
        ({"header": False}, "channels"),
        ({"separator": ""}, "separator"),
        ({"separator": '"'}, "separator"),
        ({"labels": {"walk": 2}}, "labels"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(changed(WRIST, **changes), 2, "device.toml")
    assert caught.value.key == f"data.csv.{key}"


def test_overlap_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="unit of privacy"):
        check(changed(WRIST, window=128, step=64), 2, "device.toml")
    check(changed(WRIST, window=128, step=128), 2, "device.toml")


def test_a_fingerprint_changes_with_how_windows_are_cut_and_with_nothing_else() -> None:
    assert fingerprint(changed(WRIST, window=4)) != fingerprint(WRIST)
    assert fingerprint(changed(WRIST, step=2)) == fingerprint(WRIST)
    assert fingerprint(changed(WRIST, bad_rows="skip")) == fingerprint(WRIST)


@given(st.binary(max_size=300))
def test_whatever_stands_in_a_file_it_is_read_or_refused(data: bytes) -> None:
    for schema in (NUMBERED, changed(NUMBERED, window=3, bad_rows="skip")):
        try:
            examples = decoded(data, "a.csv", schema, 2, lambda _: None)
        except DataError:
            continue
        assert np.isfinite(examples.x).all()
        assert set(examples.y.tolist()) <= {0, 1}


@given(
    st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=60), st.integers(1, 5), st.integers(0, 9)
)
def test_no_row_is_ever_in_two_windows(rows: list[tuple[int, bool]], window: int, gap: int) -> None:
    text = "".join(f"{number if good else '?'},0,{label}\n" for number, (label, good) in enumerate(rows))
    schema = changed(NUMBERED, window=window, step=window + gap, bad_rows="skip")
    used = read(text, schema).x[:, 0].ravel().tolist()
    assert len(used) == len(set(used))
