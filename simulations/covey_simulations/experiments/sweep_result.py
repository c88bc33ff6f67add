"""A sweep as somebody who works in Python has it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from covey_simulations.experiments import comparison, records, tables
from covey_simulations.experiments.comparison_result import Compared
from covey_simulations.experiments.records import Column
from covey_simulations.experiments.run_result import Run
from covey_simulations.experiments.sweep_folder import SweepFolder


@dataclass(frozen=True, repr=False)
class Sweep:
    """What a sweep came to so far, read from its folder when it is first asked for.

    Attributes:
        folder: Where it is.
    """

    folder: Path

    @cached_property
    def _known(self) -> dict[str, records.Record]:
        return SweepFolder(self.folder).records()

    @property
    def runs(self) -> dict[str, Run]:
        """Its finished runs, by name."""
        return {name: Run(record) for name, record in self._known.items()}

    @property
    def failures(self) -> dict[str, str]:
        """Why runs failed, by name."""
        folder = SweepFolder(self.folder)
        found = {each.run: folder.failure(each.run) for each in folder.listing().runs}
        return {name: why.message for name, why in found.items() if why is not None}

    @property
    def results(self) -> dict[str, Column]:
        """A column for each figure, with a row a run; those of results.csv."""
        return records.columns(SweepFolder(self.folder).results(self._known))

    @property
    def rounds(self) -> dict[str, Column]:
        """A column for each metric, with a row a round of a run; those of rounds.csv."""
        return records.columns(SweepFolder(self.folder).rounds(self._known))

    def frame(self) -> Any:
        """The results as a pandas data frame.

        Raises:
            InputError: pandas is not installed.
        """
        return tables.frame(self.results)

    def compare(self, baseline: str | None = None, target: float | None = None) -> Compared:
        """Its cases beside one another.

        Raises:
            InputError: No run is finished, or no case has the baseline's name.
        """
        return Compared(comparison.compare([self.folder], baseline, target))

    def __repr__(self) -> str:
        runs = len(SweepFolder(self.folder).listing().runs)
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"Sweep({self.folder}: {len(self._known)} of {runs} runs finished{failed})"

    def _repr_html_(self) -> str:
        return self.compare()._repr_html_() if self._known else f"<p>{self.folder}: no run is finished</p>"
