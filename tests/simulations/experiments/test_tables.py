import csv
import io
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from covey.errors import InputError
from covey_simulations.experiments import tables

ROWS: list[dict[str, Any]] = [
    {"run": "a, b", "rate": 0.1, "rounds": 3, "early": False, "error": "", "mixed": 1, "none": None},
    {"run": 'c "d"', "rate": 1, "rounds": None, "early": True, "error": "é", "mixed": "x", "late": [1, 2]},
]


def test_csv_can_be_read_back() -> None:
    first, second = csv.DictReader(io.StringIO(tables.as_csv(ROWS)))
    assert (first["run"], first["rate"], first["early"], first["none"]) == ("a, b", "0.1", "false", "")
    assert (second["run"], second["rounds"], second["error"], second["late"]) == ('c "d"', "", "é", "[1, 2]")


def test_parquet_has_kinds_and_nulls(tmp_path: Path) -> None:
    assert tables.write(ROWS, tmp_path / "results")
    table = pyarrow.parquet.read_table(tmp_path / "results.parquet")
    assert {
        name: str(table.schema.field(name).type) for name in ("rate", "rounds", "early", "mixed", "none")
    } == {
        "rate": "double",
        "rounds": "int64",
        "early": "bool",
        "mixed": "string",
        "none": "double",
    }
    assert table.column("rounds").to_pylist() == [3, None]
    assert table.column_names == (tmp_path / "results.csv").read_text().splitlines()[0].split(",")


def test_nothing_is_a_table_too(tmp_path: Path) -> None:
    assert tables.write([], tmp_path / "rounds")
    assert pyarrow.parquet.read_table(tmp_path / "rounds.parquet").num_rows == 0


def test_without_pyarrow_there_is_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert not tables.write(ROWS, tmp_path / "results")
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]
    assert "pip install 'covey[experiments]'" in tables.NO_PARQUET


def test_without_pandas_a_frame_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pip install pandas"):
        tables.frame({"a": [1]})
