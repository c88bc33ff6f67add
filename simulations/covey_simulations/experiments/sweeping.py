"""A sweep from its runs to its results; stopped at any moment, the same command goes on with it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from covey_server.run_folder import RunFolder
from covey_simulations.experiments.cases import Planned
from covey_simulations.experiments.halving import accuracy_at, rungs, survivors
from covey_simulations.experiments.jobs import Failed, Job, Told
from covey_simulations.experiments.pool import Executor
from covey_simulations.experiments.sweep_file import HalvingSettings, SweepFile
from covey_simulations.experiments.sweep_folder import SweepFolder
from covey_simulations.settings import SimulationFile


class SweepWatch(Protocol):
    """Told how a sweep goes on."""

    def begin(self, runs: Sequence[Planned], done: Mapping[str, int]) -> None:
        """These are its runs; so many rounds of each that has begun are done, or need not be done."""

    def heard(self, run: Planned, told: Told) -> None:
        """What became of a run."""


@dataclass(frozen=True)
class Sweeping:
    """A sweep that the caller holds.

    Attributes:
        file: What is asked for.
        runs: What it consists of.
        folder: Where.
        watch: Told how it goes on.
        log_to: Where rounds are written besides.
    """

    file: SweepFile
    runs: Sequence[Planned]
    folder: SweepFolder
    watch: SweepWatch
    log_to: tuple[str, ...] = ()

    def begin(self, *, retry: bool) -> None:
        """Write down which runs there are.

        Args:
            retry: Runs that failed get another chance.

        Raises:
            InputError: What is there is no sweep, or there is nothing to rank by.
        """
        if self.file.halving is not None:
            rungs(self.file.halving, self.runs)
        self.folder.begin(self.file.name, self.file.wanted, self.runs)
        for run in self.runs if retry else ():
            self.folder.forgive(run.name)
        done = {run.name: self._done(run) for run in self.runs}
        self.watch.begin(self.runs, done)

    def carry_out(self, executor: Executor) -> None:
        """All that is left to do; a run that fails is written down and no hindrance."""
        if self.file.halving is None:
            self._carry_out(executor, self.runs)
        else:
            self._halve(executor, self.file.halving)

    def write_results(self) -> bool:
        """Write what is known so far.

        Returns:
            Whether there are Parquet files.
        """
        return self.folder.write_results({run.name: run.file for run in self.runs})

    def _halve(self, executor: Executor, halving: HalvingSettings) -> None:
        alive = list(dict.fromkeys(run.case.label for run in self.runs))
        for rung in rungs(halving, self.runs):
            going = [run for run in self.runs if run.case.label in alive]
            self._carry_out(executor, (run for run in going if self._rounds(run) < rung), until=rung)
            reached = {
                label: [self._accuracy(run, rung) for run in going if run.case.label == label]
                for label in alive
            }
            alive = survivors(reached, halving.factor)
            dropped = [run for run in going if run.case.label not in alive]
            self._carry_out(executor, dropped, last=rung)
        self._carry_out(executor, (run for run in self.runs if run.case.label in alive))

    def _carry_out(
        self,
        executor: Executor,
        runs: Iterable[Planned],
        *,
        until: int | None = None,
        last: int | None = None,
    ) -> None:
        due = {run.name: run for run in runs if self.folder.state(run.name) == "unfinished"}

        def listen(job: Job, told: Told) -> None:
            run = due[job.file.name]
            if isinstance(told, Failed):
                self.folder.failed(run.name, told)
            self.watch.heard(run, told)

        executor.carry_out([self._job(run, until, last) for run in due.values()], listen)

    def _job(self, run: Planned, until: int | None, last: int | None) -> Job:
        return Job(
            file=_sharing(run, self.file.parallel),
            folder=str(self.folder.run(run.name)),
            stages=self.file.stages,
            stop=self.file.stop,
            until=until,
            last=last,
            log_to=self.log_to,
        )

    def _done(self, run: Planned) -> int:
        """Rounds that need not be waited for."""
        finished = self.folder.state(run.name) != "unfinished"
        return run.file.federation.rounds if finished else self._rounds(run)

    def _rounds(self, run: Planned) -> int:
        return len(RunFolder(self.folder.run(run.name)).rows())

    def _accuracy(self, run: Planned, rung: int) -> float:
        return accuracy_at(RunFolder(self.folder.run(run.name)).rows(), rung)


def _sharing(run: Planned, parallel: int) -> SimulationFile:
    """Runs at the same time share the cores: one that would take all of them takes its part."""
    if run.file.simulation.workers or parallel == 1:
        return run.file
    part = max((os.cpu_count() or 1) // parallel, 1)
    return msgspec.structs.replace(
        run.file, simulation=msgspec.structs.replace(run.file.simulation, workers=part)
    )
