"""The gate: devices compare what would be released with the release before it, by a private sum of counts."""

from pathlib import Path
from typing import Final

import msgspec

from covey.errors import InputError, StateError
from covey.gate import GateReport, counts_of, decide
from covey.package.contents import Contents, read
from covey_io import durable
from covey_io.packages import read_package
from covey_models import carried
from covey_models.model import Model
from covey_server.calibrating import AGAIN, Ask, Trained
from covey_server.settings import FederationFile, compare_task
from covey_strategies.queries import compare

FILE: Final = "gate.json"


def gate(ask: Ask, file: FederationFile, trained: Trained, new: bytes, folder: Path) -> GateReport:
    """Have devices compare, once in a run, and decide.

    Args:
        ask: One private sum.
        file: The federation, with its limits and the release before it.
        trained: What it was made from.
        new: The ONNX file that devices would run.
        folder: The run's.

    Raises:
        RoundAborted: Too few devices.
        InputError: The release before it cannot be compared with.
        StateError: What was kept is damaged.
    """
    path = folder / FILE
    if not path.exists():
        durable.replace(path, msgspec.json.encode(_asked(ask, file, trained, new)))
    try:
        return msgspec.json.decode(path.read_bytes(), type=GateReport)
    except msgspec.MsgspecError as error:
        raise StateError(f"{path} is damaged: {error}", hint=AGAIN) from error


def _asked(ask: Ask, file: FederationFile, trained: Trained, new: bytes) -> GateReport:
    model = trained.model
    old = parent(file, model)
    task = compare_task(file)
    if old is not None:
        task = msgspec.structs.replace(task, old_preprocessing=old.preprocessing)
    before = None if old is None else old.model(old.variants[-1])
    collected = ask(task, carried.to_arrays(new, before), trained.preprocessing)
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
