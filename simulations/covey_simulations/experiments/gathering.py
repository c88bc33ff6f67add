"""From folders of runs and sweeps to runs by case."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from covey.errors import InputError
from covey_simulations.experiments import records
from covey_simulations.experiments.records import Record
from covey_simulations.experiments.sweep_folder import SweepFolder, is_sweep


@dataclass(frozen=True)
class Gathered:
    """Finished runs to compare.

    Attributes:
        cases: Runs by seed, by case; cases in the order of the folders.
        missing: Lines about runs that are not finished.
        target: Accuracy that rounds are counted up to, if a sweep says one.
        name: Of what was gathered.
    """

    cases: dict[str, dict[int, Record]]
    missing: tuple[str, ...]
    target: float | None
    name: str


def gather(paths: Sequence[Path]) -> Gathered:
    """Finished runs of folders; runs that differ in nothing but name and seed are one case.

    Args:
        paths: Of runs and sweeps.

    Raises:
        InputError: A folder is neither, nothing is finished, or a case has a seed twice.
        StateError: A file of a run is damaged.
    """
    sweeps = [SweepFolder(path) for path in paths if is_sweep(path)]
    cases: dict[str, dict[int, Record]] = {}
    missing: list[str] = []
    for sweep in sweeps:
        missing += _from_sweep(sweep, cases, f"{sweep.path.name}: " if len(paths) > 1 else "")
    _from_runs([path for path in paths if not is_sweep(path)], cases)
    if not cases:
        raise InputError("no run is finished", hint="go on with them first: the command that began them")
    targets = {listing.target for sweep in sweeps if (listing := sweep.listing()).target is not None}
    name = ", ".join(path.resolve().name for path in paths)
    return Gathered(cases, tuple(missing), targets.pop() if len(targets) == 1 else None, name)


def _from_sweep(sweep: SweepFolder, cases: dict[str, dict[int, Record]], before: str) -> list[str]:
    """Add a sweep's runs; returns lines about those that are not finished."""
    known, missing = sweep.records(), []
    for each in sweep.listing().runs:
        label = f"{before}{each.case}"
        if each.run in known:
            cases.setdefault(label, {})[each.seed] = known[each.run]
        else:
            why = sweep.failure(each.run)
            state = f"failed: {why.message}" if why else "is not finished"
            missing.append(f"{label}, seed {each.seed} {state}")
    return missing


def _from_runs(paths: Sequence[Path], cases: dict[str, dict[int, Record]]) -> None:
    labels: dict[bytes, str] = {}
    for path in paths:
        record = records.read(path)
        label = labels.setdefault(_alike(record), _unused(record.file.name, path, cases))
        seeds = cases.setdefault(label, {})
        if record.file.seed in seeds:
            raise InputError(
                f"{seeds[record.file.seed].folder} and {path} are the same case with the same seed",
                hint="leave one of them out",
            )
        seeds[record.file.seed] = record


def _alike(record: Record) -> bytes:
    """The same for runs that differ in name and seed alone."""
    return msgspec.msgpack.encode(msgspec.structs.replace(record.file, name="same", seed=0))


def _unused(name: str, path: Path, cases: dict[str, dict[int, Record]]) -> str:
    return name if name not in cases else str(path)
