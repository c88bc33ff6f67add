"""Rows as files: CSV always, Parquet where pyarrow is installed."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from covey.errors import InputError
from covey_io import durable

Rows = Sequence[Mapping[str, Any]]
NO_PARQUET: Final = "no Parquet beside the CSV: pip install 'covey[experiments]' brings pyarrow"


def write(rows: Rows, path: Path) -> bool:
    """Write `path`.csv and, with pyarrow, `path`.parquet; each whole or not at all.

    Args:
        rows: With the same keys or not; what one has not is empty.
        path: Without an ending.

    Returns:
        Whether there is a Parquet file.
    """
    durable.replace(path.with_name(f"{path.name}.csv"), as_csv(rows).encode())
    try:
        data = as_parquet(rows)
    except InputError:
        return False
    durable.replace(path.with_name(f"{path.name}.parquet"), data)
    return True


def as_csv(rows: Rows) -> str:
    """With a line of names; None is empty, lists are JSON, truth is true or false."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=names(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def as_parquet(rows: Rows) -> bytes:
    """A Parquet file; a column of mixed kinds is one of strings.

    Raises:
        InputError: pyarrow is not installed.
    """
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError("pyarrow is not installed", hint="pip install 'covey[experiments]'") from error
    columns = {name: _uniform([row.get(name) for row in rows]) for name in names(rows)}
    nothing = arrow.float64()  # the kind of a column without any value
    table = arrow.table(
        {name: arrow.array(values, None if _any(values) else nothing) for name, values in columns.items()}
    )
    sink = arrow.BufferOutputStream()
    parquet.write_table(table, sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def as_columns(rows: Rows) -> dict[str, list[Any]]:
    """Values by name."""
    return {name: [row.get(name) for row in rows] for name in names(rows)}


def frame(columns: Mapping[str, Any]) -> Any:
    """A pandas data frame.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise InputError("pandas is not installed", hint="pip install pandas") from error
    return pandas.DataFrame(dict(columns))


def names(rows: Rows) -> list[str]:
    """All keys, in the order in which they are first met."""
    return list(dict.fromkeys(key for row in rows for key in row))


def _cell(value: Any) -> Any:
    if isinstance(value, bool | list | tuple | dict):
        return json.dumps(value)
    return value


def _any(values: Sequence[Any]) -> bool:
    """Whether a column has a value."""
    return any(value is not None for value in values)


def _uniform(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or len(kinds) <= 1:
        numbers = float in kinds
        return [float(value) if numbers and value is not None else value for value in values]
    return [None if value is None else str(_cell(value)) for value in values]
