"""Networks whose time is arithmetic: device by device, in one network that is overwritten.

Batching gains nothing there, and convolutions with weights of each device's own lose. What is left to save is
around the arithmetic: no copy of a gradient, no second network, and channels last for convolutions.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from covey_models.cohort.step import Optimiser, Stacked
from covey_models.cohort.steps import Cohort
from covey_models.training import seeded

_TRIES: Final = 3
_IMAGE: Final = 4
"""Dimensions of a batch of images, whose channels may come last."""


@dataclass(frozen=True)
class InTurn:
    """A network that is trained for one device after the other.

    Attributes:
        network: Overwritten by each.
        why: This program was chosen.
    """

    network: nn.Module
    why: str

    @classmethod
    def of(cls, network: nn.Module, why: str) -> "InTurn":
        """The program of any network."""
        convolutions = [each for each in network.modules() if isinstance(each, nn.Conv2d)]
        if any(each.groups == 1 for each in convolutions):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(network, why)

    def seconds(self, input_shape: tuple[int, ...], batch_size: int) -> float:
        """What one device's batch takes, at best of a few: measured now, for people."""
        x, y = torch.zeros(batch_size, *input_shape), torch.zeros(batch_size, dtype=torch.long)
        best = inf
        with seeded(0):
            for _ in range(_TRIES):
                started = time.perf_counter()
                loss = cross_entropy(self.network(x), y)
                torch.autograd.grad(loss, list(self.network.parameters()))
                best = min(best, time.perf_counter() - started)
        return best

    def train(self, weights: Stacked, cohort: Cohort, optimiser: Optimiser) -> Tensor:
        """Train in place a cohort of one; see `covey_models.cohort.programs.Program`."""
        own = dict(self.network.named_parameters())
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(weights[name][0])
        losses = torch.zeros(len(cohort))
        with seeded(cohort.seed):
            for _ in range(optimiser.task.epochs):
                losses = torch.zeros(len(cohort))
                for batch in cohort.epoch():
                    losses += self._step(list(own), list(own.values()), batch.x[0], batch.y[0], optimiser)
        with torch.no_grad():
            for name, value in own.items():
                weights[name][0].copy_(value)
        return losses

    def _step(
        self, names: Sequence[str], values: Sequence[Tensor], x: Tensor, y: Tensor, optimiser: Optimiser
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last) if x.dim() == _IMAGE else x
        loss = cross_entropy(self.network(x), y)
        gradients = torch.autograd.grad(loss, values)
        with torch.no_grad():
            stacked = {name: value[None] for name, value in zip(names, values, strict=True)}
            found = {name: each[None] for name, each in zip(names, gradients, strict=True)}
            optimiser.step(stacked, found, 1)
        return loss.detach() * len(y)
