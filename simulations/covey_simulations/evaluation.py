"""What only a simulation can know: accuracy per device, and of each packaged variant on pooled examples."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters
from covey.examples import Examples, Standardise
from covey.metrics import accuracy, count
from covey.package.contents import MODELS, Contents, Variant
from covey_client.inference import Classifier
from covey_models.evaluation import evaluate
from covey_models.model import Model
from covey_models.training import load
from covey_simulations.data.federated import FederatedData
from covey_simulations.report.facts import DeviceResult, VariantResult

MOST_DEVICES: Final = 1000
"""Of a larger fleet, so many are looked at one by one."""


def looked_at(data: FederatedData) -> Iterable[str]:
    """The devices to look at one by one: all, or of a large fleet some, evenly spaced."""
    count = len(data.devices)
    if count <= MOST_DEVICES:
        return data.devices
    chosen = {place * count // MOST_DEVICES for place in range(MOST_DEVICES)}
    return [name for place, name in enumerate(data.devices) if place in chosen]


def by_device(
    data: FederatedData, model: Model, parameters: Parameters, preprocessing: Standardise
) -> tuple[DeviceResult, ...]:
    """The federated model on the own held-out examples of each device that is looked at."""
    network = model.build()
    load(network, parameters)
    results = []
    for name in looked_at(data):
        local = data.devices[name]
        held_out = Examples(preprocessing.apply(local.held_out.x), local.held_out.y)
        confusion = evaluate(network, held_out, model.classes).confusion
        found = accuracy(confusion).value if len(held_out) else None
        results.append(DeviceResult(name, data.groups[name], len(local.train), len(held_out), found))
    return tuple(results)


def confusion_of(classifier: Classifier, examples: Examples, classes: int) -> NDArray[np.int64]:
    """Confusion counts of an installed package on raw examples."""
    logits = classifier.predict(examples.x).logits
    return count(examples.y, logits.argmax(axis=1), classes)


def of_variant(package: Contents, variant: Variant, examples: Examples, repeats: int) -> VariantResult:
    """An installed variant: accuracy, size, and latency from raw input to label."""
    classifier = Classifier(package, variant)
    classes = len(package.manifest.labels)
    latency = classifier.latency(examples.x[0], repeats)
    return VariantResult(
        accuracy=accuracy(confusion_of(classifier, examples, classes)).value,
        bytes=len(package.files[MODELS[variant]]),
        p50_us=latency.p50,
        p95_us=latency.p95,
    )


def log_lines(folder: Path, most: int) -> tuple[str, ...]:
    """The last lines of devices' own logs, each with its device's name."""
    lines = [
        f"{path.stem}: {line}"
        for path in sorted(folder.glob("*.log"))
        for line in path.read_text("utf-8", "replace").splitlines()
    ]
    return tuple(lines[-most:])
