"""From a finished run's folder to an unsigned release: models, card, provenance, bill of materials."""

from dataclasses import replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from covey.errors import InputError
from covey.package import provenance
from covey.package.archive import pack
from covey.package.bom import BomFacts, bom
from covey.package.contents import MODELS, Draft, Variant, assemble
from covey.package.names import BOM, CARD, PROVENANCE
from covey.package.provenance import Record
from covey_models.export import to_onnx
from covey_models.golden import golden
from covey_models.quantise import to_int8_weights
from covey_models.training import load
from covey_server.release import identity
from covey_server.release_record import record_of
from covey_server.release_run import Finished, Int8, Wanted, finished_run

LIBRARIES: Final = ("covey", "numpy", "onnx", "onnxruntime", "torch")


def build(run: Path, wanted: Wanted) -> bytes:
    """The unsigned archive of a release.

    Args:
        run: A finished run's folder.
        wanted: What is asked for beside.

    Raises:
        InputError: The run is not finished, its gate did not pass, or its package is not of its checkpoint.
        StateError: A file of the run is damaged.
        PackageError: The parts do not fit together.
    """
    finished = finished_run(run)
    models = _models(finished, wanted.int8)
    record = record_of(finished, wanted, models)
    preprocessing = finished.state.preprocessing or identity(finished.model)
    draft = Draft(
        name=record.name,
        version=record.version,
        model=finished.model.name,
        labels=finished.model.labels,
        preprocessing=preprocessing,
        models=models,
        golden=golden(finished.model, models, preprocessing, finished.file.seed),
        card=finished.package.files[CARD].decode(),
    )
    return pack(assemble(with_provenance(draft, record, _bom_facts(finished, record))))


def with_provenance(draft: Draft, record: Record, facts: BomFacts) -> Draft:
    """A draft with `provenance.json` and, listing that as well, `bom.json`.

    Raises:
        PackageError: The record is not one that a reader would accept.
    """
    digests = {MODELS[variant]: sha256(data).hexdigest() for variant, data in draft.models.items()}
    stated = provenance.encode(provenance.provenance_of(digests, record))
    made = replace(draft, extra={**draft.extra, PROVENANCE: stated})
    return replace(made, extra={**made.extra, BOM: bom(facts, assemble(made))})


def _models(finished: Finished, int8: Int8) -> dict[Variant, bytes]:
    network = finished.model.build()
    load(network, finished.state.parameters)
    fp32 = to_onnx(network, finished.model.input_shape)
    if int8 == "weights-only":
        return {"fp32": fp32, "int8": to_int8_weights(fp32)}
    if int8 == "none" or "int8" not in finished.package.variants:
        return {"fp32": fp32}
    if finished.package.model("fp32") != fp32:
        raise InputError(
            f"{finished.folder.path}: its int8 model is not of its last checkpoint",
            hint="add --weights-only or --fp32-only, or build with the versions that made the run",
        )
    return {"fp32": fp32, "int8": finished.package.model("int8")}


def _bom_facts(finished: Finished, record: Record) -> BomFacts:
    model = finished.model
    shape = " x ".join(map(str, model.input_shape))
    return BomFacts(
        name=record.name,
        version=record.version,
        summary=model.summary,
        licence=model.licence,
        task="classification",
        family=model.name,
        architecture=model.source,
        inputs=f"float32 {shape}, {model.input_units}",
        labels=model.labels,
        data="training examples of the fleet's devices",
        data_words="They never left the devices, or a simulation's; README.md says which, and what to cite.",
        privacy=record.claim.statement,
        limits=("README.md says what it misses, and where it should not be trusted.",),
        figures=record.figures,
        parent=record.parent,
        libraries=libraries(),
    )


def libraries() -> dict[str, str]:
    """Versions of what makes a release, as far as they are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a source tree on the path is no distribution
            continue
    return found
