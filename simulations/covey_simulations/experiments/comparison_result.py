"""A comparison as somebody who works in Python has it."""

import io
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console

from covey_simulations.experiments import comparison_page, comparison_table, figures, records, tables
from covey_simulations.experiments.comparison import Comparison
from covey_simulations.experiments.records import Column
from covey_simulations.report import text


@dataclass(frozen=True, repr=False)
class Compared:
    """Cases beside one another; printed, it is the table that `covey compare` shows.

    Attributes:
        comparison: All of it.
    """

    comparison: Comparison

    @property
    def columns(self) -> dict[str, Column]:
        """A column for each figure, with a row a case; `_low` and `_high` are ends of 95 % intervals."""
        return records.columns(self.comparison.rows())

    def frame(self) -> Any:
        """The columns as a pandas data frame.

        Raises:
            InputError: pandas is not installed.
        """
        return tables.frame(self.columns)

    def plot(self) -> figures.Drawn:
        """Accuracy and training loss by round, with intervals; shows itself in a notebook."""
        return comparison_page.plot(self.comparison)

    def html(self, path: str | Path) -> Path:
        """Write the page of `covey compare --html`.

        Returns:
            Where it is.
        """
        return comparison_page.write(self.comparison, Path(path))

    def __repr__(self) -> str:
        words = io.StringIO()
        comparison_table.show(self.comparison, Console(file=words, width=comparison_table.PIPE_WIDTH))
        return words.getvalue()

    def _repr_html_(self) -> str:
        names = ["Case", *(cell.name for cell in self._cells(0))]
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        rows = "".join(
            f"<tr><th style='text-align:left'>{_safe(line.case)}</th>"
            + "".join(f"<td>{_safe(f'{cell.words} {cell.note}'.strip())}</td>" for cell in self._cells(place))
            + "</tr>"
            for place, line in enumerate(self.comparison.lines)
        )
        remarks = "".join(f"<p>{_safe(line)}</p>" for line in comparison_table.remarks(self.comparison))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{remarks}"

    def _cells(self, place: int) -> list[comparison_table.Cell]:
        return comparison_table.cells(self.comparison, self.comparison.lines[place])


def _safe(words: str) -> str:
    return escape(str(text.visible(words)))
