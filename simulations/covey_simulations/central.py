"""The baseline that a fleet cannot have: the same network, trained on everyone's data in one place."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from covey.examples import Examples, Standardise
from covey.seeds import derive
from covey_models.evaluation import evaluate
from covey_models.model import Model
from covey_models.training import Local, initial, load, seeded
from covey_server.settings import scheduled
from covey_simulations.data.federated import FederatedData
from covey_simulations.settings import CentralSettings

Watch = Callable[[int, int], None]
"""Told how many steps of how many are done."""


def pooled_train(data: FederatedData) -> Examples:
    """Everyone's training examples."""
    return data.all_train()


def pooled_held_out(data: FederatedData) -> Examples:
    """Everyone's held-out examples."""
    return data.all_held_out()


def train_centrally(  # noqa: PLR0913 - what it is trained on, how, and who watches
    data: FederatedData,
    model: Model,
    preprocessing: Standardise,
    settings: CentralSettings,
    seed: int,
    *,
    watch: Watch,
) -> NDArray[np.int64]:
    """Confusion counts of the centrally trained network on the pooled held-out examples.

    The optimiser is Adam, which no device uses: the baseline is meant to be as good as the network can get,
    not as close to federated training as possible.
    """
    network = model.build()
    load(network, initial(model, derive(seed, "central")))
    local = Local(pooled_train(data), preprocessing, model.augment)
    optimiser = torch.optim.Adam(network.parameters(), betas=(0.9, 0.99))
    for epoch in range(1, settings.epochs + 1):
        for group in optimiser.param_groups:
            group["lr"] = scheduled(settings.learning_rate, "cosine", epoch, settings.epochs)
        key = derive(seed, "central", epoch)
        batches = local.batches(settings.batch_size, torch.Generator().manual_seed(key))
        with seeded(key):
            _epoch(network, optimiser, batches, settings.gradient_clip)
        watch(epoch, settings.epochs)
    raw = pooled_held_out(data)
    held_out = Examples(preprocessing.apply(raw.x), raw.y)
    return evaluate(network, held_out, model.classes).confusion


def _epoch(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
    gradient_clip: float,
) -> None:
    for x, y in batches:
        optimiser.zero_grad()
        cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]
        if gradient_clip:
            nn.utils.clip_grad_norm_(network.parameters(), gradient_clip)
        optimiser.step()
