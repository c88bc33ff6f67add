"""From a trained federation to a package that one simulated device has installed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from covey.examples import Examples, Floats, Standardise
from covey.metrics import accuracy, false_negatives
from covey.package.contents import Draft, Variant
from covey.package.verify import Package
from covey.seeds import generator
from covey_client import slots
from covey_io import durable
from covey_models.card import CardFacts, Measured, card
from covey_models.evaluation import evaluate
from covey_models.golden import golden
from covey_models.model import Model
from covey_models.runtime import predictor
from covey_server.candidate import Candidate
from covey_server.release import Keys, signed_package
from covey_server.summary import privacy_of
from covey_simulations.central import pooled_held_out, pooled_train
from covey_simulations.evaluation import of_variant
from covey_simulations.report.facts import VariantResult
from covey_simulations.world import World

LATENCY_RUNS = 500


def package(world: World, found: Candidate, preprocessing: Standardise, keys: Keys) -> Path:
    """Describe, sign; returns the package's path."""
    model, file, variants = world.model, world.file, found.variants
    measured = _measured(world, variants, preprocessing)
    draft = Draft(
        name=file.name,
        version=world.folder.config[:12],
        model=model.name,
        labels=model.labels,
        preprocessing=preprocessing,
        models=variants,
        golden=golden(model, variants, preprocessing, file.seed),
        card=card(_card_facts(world, measured, found.calibration)),
    )
    path = world.folder.path / f"{file.name}.covey"
    durable.replace(path, signed_package(draft, keys))
    return path


def pooled_inputs(world: World, preprocessing: Standardise) -> Floats:
    """Scaled training inputs of all devices in one place: what no fleet's server has."""
    pooled = pooled_train(world.data).x
    count = min(world.file.release.calibration_examples, len(pooled))
    chosen = generator(world.file.seed, "calibration").choice(len(pooled), size=count, replace=False)
    return preprocessing.apply(pooled[np.sort(chosen)])


def install(world: World, path: Path, keys: Keys) -> tuple[Package, dict[Variant, VariantResult]]:
    """Install the package on one device as a device would, and measure what is installed."""
    device = world.folder.path / "device"
    durable.make_folder(device)
    durable.replace(device / slots.TRUSTED, keys.public)
    slots.install(path.read_bytes(), device, slots.trusted_key(device))
    installed = slots.installed(device)
    held_out = pooled_held_out(world.data)
    return installed, {
        variant: of_variant(installed, variant, held_out, LATENCY_RUNS) for variant in installed.variants
    }


def _measured(
    world: World, variants: Mapping[Variant, bytes], preprocessing: Standardise
) -> dict[Variant, Measured]:
    raw = pooled_held_out(world.data)
    held_out = Examples(preprocessing.apply(raw.x), raw.y)
    return {variant: _measure(data, held_out, world.model.classes) for variant, data in variants.items()}


def _measure(onnx: bytes, held_out: Examples, classes: int) -> Measured:
    confusion = evaluate(predictor(onnx), held_out, classes).confusion
    return Measured(accuracy(confusion), false_negatives(confusion), len(onnx))


def _card_facts(world: World, measured: Mapping[Variant, Measured], calibration: str) -> CardFacts:
    model, data, file = world.model, world.data, world.file
    protected = privacy_of(world.folder.sum_rows(), file.privacy.delta)
    return CardFacts(
        name=file.name,
        summary=model.summary,
        licence=model.licence,
        task="classification",
        architecture=model.source,
        parameters=parameters_count(model),
        input_shape=model.input_shape,
        input_units=model.input_units,
        labels=model.labels,
        data_name=data.name,
        data_citation=data.citation,
        data_licence=data.licence,
        data_split=" ".join(data.notes),
        synthetic=data.synthetic,
        devices=data.training_devices,
        rounds=file.federation.rounds,
        strategy=file.strategy.name,
        masks=protected.masks,
        noise=protected.noise,
        privacy=protected.statement,
        fp32=measured.get("fp32"),
        int8=measured.get("int8"),
        calibration=calibration or None,
        limits=("Trained in a simulation, which sees all data itself.",),
    )


def parameters_count(model: Model) -> int:
    """How many numbers are trained."""
    return sum(weight.numel() for weight in model.build().parameters())
