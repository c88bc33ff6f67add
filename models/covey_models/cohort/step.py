"""The optimiser's step of `covey_models.training.train`, for stacked weights: a leading axis of devices."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from covey.plan import Train

Stacked = dict[str, Tensor]


@dataclass(frozen=True)
class Optimiser:
    """Clip, proximal term, correction, momentum, one device a row.

    Attributes:
        task: Rates and limits.
        origin: Where training began; kept only where the proximal term needs it.
        velocity: Of momentum; empty without.
        correction: Added to each direction; empty for none.
    """

    task: Train
    origin: Stacked
    velocity: Stacked
    correction: Mapping[str, Tensor]

    @classmethod
    def start(cls, task: Train, weights: Stacked, correction: Mapping[str, Tensor]) -> "Optimiser":
        """At the start of a round: from rest."""
        return cls(
            task,
            {name: each.clone() for name, each in weights.items()} if task.proximal_mu else {},
            {name: torch.zeros_like(each) for name, each in weights.items()} if task.momentum else {},
            correction,
        )

    @property
    def is_plain(self) -> bool:
        """Whether a step is w -= rate * gradient and nothing else."""
        task = self.task
        return not (task.gradient_clip or task.proximal_mu or task.momentum or self.correction)

    def step(self, weights: Stacked, gradients: Mapping[str, Tensor], active: int) -> None:
        """One step of the first `active` devices, in place."""
        factor = self._factor(gradients) if self.task.gradient_clip else None
        for name, gradient in gradients.items():
            weight = weights[name][:active]
            direction = gradient if factor is None else gradient * _along(factor, gradient)
            if self.task.proximal_mu:
                direction = direction + self.task.proximal_mu * (weight - self.origin[name][:active])
            if self.correction:
                direction = direction + self.correction[name][:active]
            if self.task.momentum:
                speed = self.velocity[name][:active]
                direction = speed.mul_(self.task.momentum).add_(direction)
            weight.sub_(direction, alpha=self.task.learning_rate)

    def _factor(self, gradients: Mapping[str, Tensor]) -> Tensor:
        norms = torch.stack([torch.linalg.vector_norm(each.flatten(1), dim=1) for each in gradients.values()])
        norm = torch.linalg.vector_norm(norms, dim=0)
        return torch.clamp(self.task.gradient_clip / (norm + 1e-12), max=1.0)


def _along(factor: Tensor, gradient: Tensor) -> Tensor:
    return factor.view(-1, *(1,) * (gradient.dim() - 1))
