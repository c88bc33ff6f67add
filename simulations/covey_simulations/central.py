"""The baseline that a fleet cannot have: the same network, trained on everyone's data in one place."""

import numpy as np
from numpy.typing import NDArray

from covey.examples import Examples, Standardise
from covey.plan import Train
from covey.seeds import derive
from covey_models.evaluation import evaluate
from covey_models.model import Model
from covey_models.training import initial, load, train
from covey_server.settings import scheduled
from covey_simulations.data.federated import FederatedData
from covey_simulations.settings import CentralSettings


def pooled_train(data: FederatedData) -> Examples:
    """Everyone's training examples."""
    return Examples.join([local.train for local in data.devices.values()])


def pooled_held_out(data: FederatedData) -> Examples:
    """Everyone's held-out examples."""
    return Examples.join([local.held_out for local in data.devices.values()])


def train_centrally(
    data: FederatedData, model: Model, preprocessing: Standardise, settings: CentralSettings, seed: int
) -> NDArray[np.int64]:
    """Confusion counts of the centrally trained network on the pooled held-out examples."""
    network = model.build()
    load(network, initial(model, derive(seed, "central")))
    examples = _scaled(pooled_train(data), preprocessing)
    for epoch in range(1, settings.epochs + 1):
        train(network, examples, _task(settings, epoch), model.augment, derive(seed, "central", epoch))
    return evaluate(network, _scaled(pooled_held_out(data), preprocessing), model.classes).confusion


def _scaled(examples: Examples, preprocessing: Standardise) -> Examples:
    return Examples(preprocessing.apply(examples.x), examples.y)


def _task(settings: CentralSettings, epoch: int) -> Train:
    """One epoch as the local training task; what only concerns a sum over devices has no effect here."""
    return Train(
        epochs=1,
        batch_size=settings.batch_size,
        learning_rate=scheduled(settings.learning_rate, settings.schedule, epoch, settings.epochs),
        momentum=settings.momentum,
        gradient_clip=settings.gradient_clip,
        proximal_mu=0.0,
        weighting="devices",
        examples_cap=1,
        update_clip=1.0,
    )
