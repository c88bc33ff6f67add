"""A simulation that a person started: its place, its display, and what it says at its end."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from covey.errors import CoveyError
from covey_io import settings
from covey_server.run_folder import RunFolder
from covey_server.summary import Summary
from covey_simulations import beside as besides
from covey_simulations import runs as folders
from covey_simulations.closing import closing_lines
from covey_simulations.experiments import trackers
from covey_simulations.experiments.watching import Several
from covey_simulations.progress import progress
from covey_simulations.report.facts import Beside
from covey_simulations.run import simulate
from covey_simulations.settings import SimulationFile
from covey_simulations.world import read


class Stopped(CoveyError):  # noqa: N818 - what happened, as the person who did it would say
    """Ctrl-C: the run can be gone on with."""

    exit_status = 130  # 128 + SIGINT


@dataclass(frozen=True)
class Job:
    """A run to begin, or to go on with.

    Attributes:
        file: Its configuration.
        path: Its folder.
        resuming: Whether it has begun.
    """

    file: SimulationFile
    path: Path
    resuming: bool


def begun(file: Path, changes: Sequence[str], runs: Path) -> Job:
    """A run to begin from a TOML file.

    Raises:
        InputError: The file or a change is wrong.
    """
    parsed = settings.load(file, SimulationFile, changes)
    return Job(parsed, runs / parsed.name, resuming=False)


def resumed(path: Path, changes: Sequence[str]) -> Job:
    """A run to go on with.

    Raises:
        InputError: No run is there, it is finished, or something is to be changed half-way.
    """
    parsed, folder = folders.resume(path, changes)
    return Job(parsed, folder.path, resuming=True)


def close(job: Job, beside: Path | None, log_to: Sequence[str] = ()) -> None:
    """Carry out a job of its own, and say what it came to.

    Args:
        job: What is asked.
        beside: Folder of a finished run to compare with.
        log_to: Where rounds are written besides; see `covey_simulations.experiments.trackers`.

    Raises:
        CoveyError: What went wrong, and the next step.
    """
    trackers.check(log_to)
    console = Console()
    compared = None if beside is None else besides.read(beside)
    option = "" if beside is None else f" --beside {shlex.quote(str(beside))}"
    option += "".join(f" --log-to {shlex.quote(place)}" for place in log_to)
    again = f"covey simulate --resume {shlex.quote(str(job.path))}{option}"
    found = carry_out(job, console, compared, again, log_to)
    say(console, *closing_lines(found, RunFolder(job.path), compared))


def carry_out(
    job: Job, console: Console, beside: Beside | None, again: str, log_to: Sequence[str] = ()
) -> Summary:
    """Hold the run's name, read everything that can be wrong, and only then touch what is on disk.

    Args:
        job: What is asked.
        console: Where progress is shown.
        beside: A finished run to compare with.
        again: The command that goes on with it, for when it is stopped.
        log_to: Where rounds are written besides.

    Raises:
        CoveyError: What went wrong, and the next step.
    """
    began = job.resuming
    try:
        with RunFolder(job.path).locked(), progress(console) as display:
            display.stage("data")
            scenario = read(job.file)
            folder = RunFolder.open(job.path) if job.resuming else _started(job, console)
            began = True
            with trackers.opened(log_to, job.file, folder) as tracking:
                found = simulate(scenario, folder, Several([display, *tracking]), beside)
                for tracker in tracking:
                    tracker.finished(found)
            return found
    except KeyboardInterrupt:
        raise Stopped("stopped", hint=again if began else "nothing was written") from None


def say(console: Console, *lines: str) -> None:
    """Print lines as they are."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _started(job: Job, console: Console) -> RunFolder:
    folder, moved = folders.start(job.file, job.path.parent)
    if moved:
        say(console, f"an earlier run was moved to {moved}")
    return folder
