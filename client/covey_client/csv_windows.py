"""Examples from CSV files of sensor readings, by a schema: columns to channels, rows to windows.

A window is a stretch of rows that follow each other and carry one label. Windows never overlap: an example is
a unit of privacy, and a row in two of them would be counted once and used twice.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from covey.errors import ConfigError, DataError
from covey.examples import Examples

Column = str | Annotated[int, msgspec.Meta(ge=0, le=4095)]
Rows = Annotated[int, msgspec.Meta(ge=0, le=1 << 20)]
ClassIndex = Annotated[int, msgspec.Meta(ge=0, le=1 << 20)]
Log = Callable[[str], None]

_LARGEST: Final = float(np.finfo(np.float32).max)
_SHOWN: Final = 3
_OVERLAP: Final = (
    "windows that overlap are refused: an example is a unit of privacy, and each row belongs to one"
)


class CsvSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[data.csv]` of device.toml.

    Attributes:
        channels: Columns that are read, in the order of the model's channels: names, or numbers from 0.
        label: The column with the label, likewise.
        window: Rows in an example; 0 if each row is one and has no time axis.
        step: Rows from a window's begin to the next one's; 0 for `window`, and never less.
        header: Whether the first line names the columns.
        separator: Between values.
        labels: Classes by what stands in the label's column; empty if class numbers do.
        bad_rows: Whether a row that cannot be read spoils its file, or only ends a window.
    """

    channels: tuple[Column, ...]
    label: Column
    window: Rows = 0
    step: Rows = 0
    header: bool = True
    separator: str = ","
    labels: dict[str, ClassIndex] = {}
    bad_rows: Literal["refuse", "skip"] = "refuse"


@dataclass(frozen=True)
class _Row:
    line: int
    values: tuple[float, ...]
    label: int


def check(schema: CsvSchema, classes: int, source: str) -> None:
    """Refuse a schema that cannot be followed.

    Args:
        schema: As it was read.
        classes: Labels lie below this.
        source: What an error calls its file.

    Raises:
        ConfigError: Names the key.
    """
    for key, expected in _faults(schema, classes):
        raise ConfigError(source, f"data.csv.{key}", expected)


def fingerprint(schema: CsvSchema) -> str:
    """How examples are cut, in a line that is the same only for the same way."""
    meant = msgspec.structs.replace(
        schema, step=schema.step or schema.window, bad_rows="refuse"
    )  # a file that was divided reads the same either way
    return f"csv {msgspec.json.encode(meant, order='sorted').decode()}"


def decoded(data: bytes, where: str, schema: CsvSchema, classes: int, log: Log) -> Examples:
    """The examples in a file's bytes.

    Args:
        data: A CSV file in UTF-8.
        where: What an error calls it.
        schema: How to read it.
        classes: Labels lie below this.
        log: Told of rows that were skipped.

    Returns:
        Inputs of shape (n, channels, window), or (n, channels) if the window is 0; n may be 0.

    Raises:
        DataError: No such column, or a row that cannot be read: file, line and what is wrong with it.
    """
    rows = list(_rows(data, where, schema, classes, log))
    size, step = schema.window or 1, schema.step or schema.window or 1
    windows = [
        run[begin : begin + size] for run in _runs(rows) for begin in range(0, len(run) - size + 1, step)
    ]
    x = np.array([[row.values for row in window] for window in windows], np.float32)
    shape = (len(windows), size, len(schema.channels))
    x = np.ascontiguousarray(x.reshape(shape).transpose(0, 2, 1))
    y = np.array([window[0].label for window in windows], np.int64)
    return Examples(x if schema.window else x[:, :, 0], y)


def _faults(schema: CsvSchema, classes: int) -> Iterator[tuple[str, str]]:
    kind = str if schema.header else int
    columns = (*schema.channels, schema.label)
    if not schema.channels:
        yield "channels", "expected one column at least"
    if not all(isinstance(each, kind) for each in columns):
        yield "channels", f"expected columns by {'name' if schema.header else 'number: there is no header'}"
    if len(set(columns)) < len(columns):
        yield "channels", "a column is named twice"
    if schema.step and schema.step < max(schema.window, 1):
        yield "step", f"expected {max(schema.window, 1)} or more; {_OVERLAP}"
    if len(schema.separator) != 1 or schema.separator in '\r\n"':
        yield "separator", "expected one character"
    if any(each >= classes for each in schema.labels.values()):
        yield "labels", f"expected classes below {classes}"


def _rows(data: bytes, where: str, schema: CsvSchema, classes: int, log: Log) -> Iterator[_Row]:
    """All rows that can be read."""
    bad: list[str] = []
    for line, fields, places in _lines(data, where, schema):
        try:
            yield _row(line, fields, places, schema, classes)
        except ValueError as error:
            bad.append(f"{where}:{line}: {error}")
    if not bad:
        return
    told = "; ".join(bad[:_SHOWN]) + (f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else "")
    if schema.bad_rows == "refuse":
        raise DataError(told, hint='mend the file, or set bad_rows = "skip" in [data.csv]')
    log(f"rows were skipped: {told}")


def _lines(data: bytes, where: str, schema: CsvSchema) -> Iterator[tuple[int, list[str], list[int]]]:
    """Line number, fields, and where the wanted ones are: channels, then the label."""
    try:
        text = data.decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=schema.separator, strict=True)
        names = next(reader, []) if schema.header else None
        places = _places(schema, names, where)
        for fields in reader:
            if fields:
                yield reader.line_num, fields, places
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where}: not a CSV file in UTF-8: {error}", hint="check [data.csv]") from error


def _places(schema: CsvSchema, names: Sequence[str] | None, where: str) -> list[int]:
    columns = (*schema.channels, schema.label)
    if names is None:
        return [each for each in columns if isinstance(each, int)]
    stripped = [name.strip() for name in names]
    for each in columns:
        if stripped.count(str(each)) != 1:
            found = f"{stripped.count(str(each))} columns {each!r} among {', '.join(stripped)}"
            raise DataError(f"{where}:1: {found}", hint="check channels and label in [data.csv]")
    return [stripped.index(str(each)) for each in columns]


def _row(line: int, fields: list[str], places: list[int], schema: CsvSchema, classes: int) -> _Row:
    """One row.

    Raises:
        ValueError: Says what is wrong with it.
    """
    if len(fields) <= max(places):
        raise ValueError(f"{len(fields)} values, expected {max(places) + 1}")
    *values, label = (fields[place].strip() for place in places)
    return _Row(line, tuple(_value(each) for each in values), _label(label, schema, classes))


def _value(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text[:20]!r} is no number") from None
    if not math.isfinite(value) or abs(value) > _LARGEST:
        raise ValueError(f"{text[:20]!r} is not finite")
    return value


def _label(text: str, schema: CsvSchema, classes: int) -> int:
    if schema.labels:
        if text not in schema.labels:
            raise ValueError(f"label {text[:20]!r} is none of {', '.join(schema.labels)}")
        return schema.labels[text]
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(classes)) or int(text) >= classes:
        raise ValueError(f"label {text[:20]!r}, expected 0 to {classes - 1}")
    return int(text)


def _runs(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Stretches of rows with one label; a row that was skipped ends one as well."""
    numbered = enumerate(rows)
    for _, run in groupby(numbered, key=lambda pair: (pair[1].label, pair[1].line - pair[0])):
        yield [row for _, row in run]
