"""The gate: devices compare what would be released with the release before it, by a private sum of counts."""

from pathlib import Path
from typing import Final

import msgspec

from covey.arrays import Parameters, digest
from covey.errors import InputError, StateError
from covey.gate import GateReport, counts_of, decide
from covey.package.contents import Contents, read
from covey_io import durable
from covey_io.packages import read_package
from covey_models import carried
from covey_models.model import Model
from covey_server.calibrating import AGAIN, Ask, Trained
from covey_server.run_folder import GATE
from covey_server.settings import FederationFile, compare_task
from covey_strategies.queries import compare

COMPARED: Final = "gate.sha256"
"""Beside it: digest of the files that devices compared."""


def gate(ask: Ask, file: FederationFile, trained: Trained, new: bytes, folder: Path) -> GateReport:
    """Have devices compare, once, and decide.

    What they said of other files does not count: where a checkpoint was lost, rounds are run again and end,
    with other noise, in another model.

    Args:
        ask: One private sum.
        file: The federation, with its limits and the release before it.
        trained: What it was made from.
        new: The ONNX file that devices would run.
        folder: The run's.

    Raises:
        RoundAborted: Too few devices.
        InputError: The release before it cannot be compared with.
        PackageError: Devices would refuse to run one of the two.
        StateError: What was kept is damaged.
    """
    old = parent(file, trained.model)
    path, pair = folder / GATE, files(new, old)
    if not is_of(folder, pair):
        path.unlink(missing_ok=True)
    if not path.exists():
        report = _asked(ask, file, trained, old, pair)
        durable.replace(folder / COMPARED, digest(pair).encode())
        durable.replace(path, msgspec.json.encode(report))
    try:
        return msgspec.json.decode(path.read_bytes(), type=GateReport)
    except msgspec.MsgspecError as error:
        raise StateError(f"{path} is damaged: {error}", hint=AGAIN) from error


def files(new: bytes, old: Contents | None) -> Parameters:
    """What devices compare: what they would run of both releases."""
    return carried.to_arrays(new, None if old is None else old.model(old.variants[-1]))


def is_of(folder: Path, pair: Parameters) -> bool:
    """Whether the verdict that a run's folder keeps, if any, is on these files."""
    path = folder / COMPARED
    return path.exists() and path.read_bytes() == digest(pair).encode()


def _asked(
    ask: Ask, file: FederationFile, trained: Trained, old: Contents | None, pair: Parameters
) -> GateReport:
    carried.from_arrays(pair)  # what devices would refuse costs no round
    model, task = trained.model, compare_task(file)
    if old is not None:
        task = msgspec.structs.replace(task, old_preprocessing=old.preprocessing)
    collected = ask(task, pair, trained.preprocessing)
    summed = compare.read(task, collected.sums, collected.deviation, model.classes)
    counts = counts_of(summed.cells, model.labels, task.groups, summed.deviation)
    return decide(counts, file.release.limits, compared=old is not None)


def parent(file: FederationFile, model: Model) -> Contents | None:
    """The release before, if one is named.

    Raises:
        InputError: It is for other inputs or other classes.
        PackageError: Its files do not agree.
    """
    if not file.release.parent:
        return None
    found = read(read_package(Path(file.release.parent)))
    if (found.manifest.input_shape, found.manifest.labels) != (model.input_shape, model.labels):
        raise InputError(
            f"{file.release.parent} has other inputs or labels than {model.name}",
            hint="name the release that this one follows, or none",
        )
    return found
