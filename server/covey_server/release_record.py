"""A release's record, from what a finished run left on disk and in the ledger."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import msgspec

import covey
from covey.arrays import digest
from covey.errors import InputError, StateError
from covey.gate import GateReport
from covey.package.contents import Variant, read
from covey.package.provenance import Record
from covey.package.provenance_making import Paid, paid
from covey.package.provenance_record import Code, Figures, Parent
from covey_io.packages import read_package
from covey_server import gating
from covey_server.release_quantisation import quantisation
from covey_server.release_run import Finished, Int8, Wanted
from covey_server.release_source import commit
from covey_server.run_folder import GATE, RunFolder


def record_of(finished: Finished, wanted: Wanted, models: Mapping[Variant, bytes]) -> Record:
    """What a release says of its own making.

    Raises:
        InputError: The run's gate did not pass, or its ledger does not show what paid for the model.
    """
    folder, file = finished.folder, finished.file
    gate = _gate(finished, models)
    model = digest(finished.state.parameters)
    shown = _paid(folder, model, file.privacy.delta)
    return Record(
        name=wanted.name or file.name,
        version=wanted.version or folder.run,
        parent=_parent(finished, wanted),
        run=folder.run,
        first_round=1,
        last_round=finished.state.round,
        model=model,
        policy=shown.policy,
        code=Code(version=covey.__version__, commit=commit()),
        participants=shown.participants,
        claim=shown.claim,
        sums=shown.sums,
        budget=shown.budget,
        settle=shown.settle,
        carried=shown.carried,
        checkpoint=shown.checkpoint,
        quantisation=quantisation(finished, wanted.int8, models),
        gate=gate,
        figures=tuple(_figures(finished, wanted.int8, models)),
    )


def _parent(finished: Finished, wanted: Wanted) -> Parent | None:
    """As asked for, else the one that the run was compared with."""
    named = wanted.parent or (Path(finished.file.release.parent) if finished.file.release.parent else None)
    return None if named is None else parent_of(named)


def parent_of(path: Path) -> Parent:
    """The release before, by its archive.

    Raises:
        InputError: It is no archive: a folder has no digest of its own.
        PackageError: Its files do not agree.
    """
    if not path.is_file():
        raise InputError(f"{path} is no archive", hint="name the .covey file of the release before")
    manifest = read(read_package(path)).manifest
    return Parent(name=manifest.name, version=manifest.version, sha256=sha256(path.read_bytes()).hexdigest())


def _paid(folder: RunFolder, model: str, delta: float) -> Paid:
    lines, _ = folder.ledger.lines()
    head = folder.ledger.head()
    if head is None:
        raise InputError(f"{folder.ledger.path} has no checkpoint", hint="let the run finish")
    return paid(lines, head, folder.run, model, delta)


def _gate(finished: Finished, models: Mapping[Variant, bytes]) -> GateReport | None:
    """What devices made of it; of files that they have not seen nothing is known.

    Raises:
        InputError: The run's gate did not pass, its verdict is missing, or what is asked for, or was put in
            the run's folder since, is not what passed it.
    """
    path = finished.folder.path / GATE
    if not path.exists():
        if finished.file.release.gate:
            raise InputError(f"{path}, the gate's verdict, is missing", hint="put it back as it was")
        return None
    try:
        report = msgspec.json.decode(path.read_bytes(), type=GateReport)
    except msgspec.MsgspecError as error:
        raise StateError(f"{path} is damaged: {error}", hint="put it back as it was") from error
    if not report.may_publish:
        raise InputError(f"nothing is released: {report.words}", hint="train on, and compare again")
    pair = gating.files(list(models.values())[-1], gating.parent(finished.file, finished.model))
    own = {variant: finished.package.model(variant) for variant in finished.package.variants}
    if models != own or not gating.is_of(finished.folder.path, pair):
        raise InputError(
            "devices compared other files than those asked for",
            hint="leave out --weights-only and --fp32-only: what passed the gate is what is released",
        )
    return report


def _figures(finished: Finished, int8: Int8, models: Mapping[Variant, bytes]) -> list[Figures]:
    told = finished.summary
    pooled = "held-out examples of all simulated devices, pooled"
    found = []
    if told.accuracy_fp32 is not None:
        found.append(Figures(variant="fp32", words=pooled, accuracy=_share(told.accuracy_fp32)))
    else:
        words = "held-out examples on the devices, by a private sum with its noise"
        found.append(Figures(variant="fp32", words=words, accuracy=_share(told.accuracy_federated)))
    if told.accuracy_int8 is not None and int8 == "as-run" and "int8" in models:
        found.append(Figures(variant="int8", words=pooled, accuracy=_share(told.accuracy_int8)))
    return [_timed(each, finished, int8) for each in found]


def _timed(figures: Figures, finished: Finished, int8: Int8) -> Figures:
    """With the latency, if it is of this variant: a run measures the one that a device would run."""
    served = finished.package.variants[-1]
    latency = finished.summary.latency_p50_us
    if latency is None or figures.variant != served or (served == "int8" and int8 != "as-run"):
        return figures
    return msgspec.structs.replace(figures, latency_us=round(latency))


def _share(value: float) -> str:
    """A noisy accuracy may lie outside 0 to 1."""
    return f"{min(max(value, 0.0), 1.0):.6f}"
