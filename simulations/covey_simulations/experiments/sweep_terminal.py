"""A sweep that a person started: what it says at its end, and how it is gone on with."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from covey.errors import CoveyError
from covey_simulations import origin
from covey_simulations.experiments import sweep_file, tables, trackers
from covey_simulations.experiments.cases import planned
from covey_simulations.experiments.pool import Pool
from covey_simulations.experiments.sweep_folder import SweepFolder
from covey_simulations.experiments.sweep_progress import sweep_progress
from covey_simulations.experiments.sweeping import Sweeping
from covey_simulations.terminal import Stopped, say

LOG = "workers.log"


class RunsFailed(CoveyError):  # noqa: N818 - what happened
    """A sweep is over, and some of its runs failed."""


def sweep(
    file: Path, changes: Sequence[str], runs: Path, *, retry: bool, log_to: tuple[str, ...]
) -> SweepFolder:
    """Carry a sweep out, and say what it came to.

    Args:
        file: Its TOML file.
        changes: KEY=VALUE, to the sweep's file.
        runs: Folder for runs.
        retry: Runs that failed get another chance.
        log_to: Where rounds are written besides.

    Raises:
        CoveyError: What went wrong, and the next step.
    """
    parsed, base = sweep_file.load(file, changes)
    trackers.check(log_to)
    console, folder = Console(), SweepFolder(runs / parsed.name)
    members = planned(parsed, base, origin.digests)
    with folder.locked():
        with sweep_progress(console) as watch:
            sweeping = Sweeping(parsed, members, folder, watch, log_to)
            sweeping.begin(retry=retry)
            try:
                with Pool(parsed.parallel, folder.path / LOG) as pool:
                    sweeping.carry_out(pool)
            except KeyboardInterrupt:
                sweeping.write_results()
                raise Stopped("stopped", hint=_again(file, changes, runs)) from None
        parquet = sweeping.write_results()
    _close(folder, console, parquet=parquet)
    return folder


def _close(folder: SweepFolder, console: Console, *, parquet: bool) -> None:
    listing = folder.listing()
    failed = [(each, why) for each in listing.runs if (why := folder.failure(each.run)) is not None]
    kinds = "csv and .parquet" if parquet else "csv"
    say(console, "", f"{folder.path / 'results'}.{kinds}, {folder.path / 'rounds'}.{kinds}")
    if not parquet:
        say(console, tables.NO_PARQUET)
    say(console, f"covey compare {shlex.quote(str(folder.path))}")
    for each, why in failed:
        say(
            console,
            f"failed: {each.case}, seed {each.seed}: {why.message}{f' ({why.hint})' * bool(why.hint)}",
        )
    if failed:
        raise RunsFailed(
            f"{len(failed)} of {len(listing.runs)} runs failed", hint="mend it, then --retry-failed"
        )


def _again(file: Path, changes: Sequence[str], runs: Path) -> str:
    words = ["covey", "sweep", str(file), *(word for each in changes for word in ("--set", each))]
    words += [] if runs == Path("runs") else ["--runs", str(runs)]
    return f"go on: {shlex.join(words)}"
