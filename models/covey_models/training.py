"""Local training: plain SGD with momentum, a gradient clip, FedProx's proximal term and a correction.

The optimiser step is written out because torch.optim costs each process a second or two of imports
(torch._dynamo), and because the state must start from zero in every round.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from covey.arrays import Parameters
from covey.examples import Examples, Standardise
from covey.plan import Train
from covey_models.model import Augment, Model


@dataclass(frozen=True)
class Trained:
    """What local training gives.

    Attributes:
        parameters: After training; may be non-finite if training diverged.
        loss: Mean cross-entropy over the last epoch, as seen while training; 0 without examples.
    """

    parameters: Parameters
    loss: float


def initial(model: Model, seed: int) -> Parameters:
    """Freshly initialised parameters, the same for the same seed."""
    with seeded(seed):
        return parameters_of(model.build())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What draws from torch's own generator (initialisation, dropout) draws from `seed` inside the block."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def parameters_of(network: nn.Module) -> Parameters:
    """Copies of a network's parameters as float32 arrays, in order of their names (see covey.arrays)."""
    return {name: value.detach().numpy().copy() for name, value in sorted(network.named_parameters())}


def load(network: nn.Module, parameters: Parameters) -> None:
    """Copy `parameters` into a network that has the same names and shapes."""
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.copy_(torch.from_numpy(parameters[name]))


@dataclass(frozen=True)
class Local:
    """What one place trains on.

    Attributes:
        examples: In the data's own units, shape (n, *input_shape); n may be 0.
        preprocessing: How inputs are scaled before the network sees them; None: not at all.
        augment: Changes each batch before it is scaled, or None.
    """

    examples: Examples
    preprocessing: Standardise | None
    augment: Augment | None

    def batches(self, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass in random order, in batches of equal length, of about `size` examples each."""
        y = torch.from_numpy(self.examples.y)
        if not len(y):
            return
        x = torch.from_numpy(np.ascontiguousarray(self.examples.x))
        order = torch.randperm(len(y), generator=generator)
        for index in torch.tensor_split(order, number_of_batches(len(y), size)):
            batch = x[index] if self.augment is None else self.augment(x[index], generator)
            yield self.scaled(batch), y[index]

    def scaled(self, batch: Tensor) -> Tensor:
        """Inputs in the data's units as the network wants them."""
        if self.preprocessing is None:
            return batch
        return torch.from_numpy(self.preprocessing.apply(batch.numpy()))


def number_of_batches(examples: int, batch_size: int) -> int:
    """Of one epoch; see `Local.batches`."""
    return max(1, round(examples / batch_size)) if examples else 0


def train(
    network: nn.Module, local: Local, task: Train, seed: int, correction: Parameters | None = None
) -> Trained:
    """Train `network` in place, from the parameters it holds.

    Args:
        network: What is trained.
        local: What it is trained on.
        task: Rates, epochs and limits.
        seed: Decides the order of examples and the augmentation, nothing else.
        correction: Added to the direction of each step, by parameter; None for nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = list(network.parameters())
    constant = _constant(network, correction)
    start = [weight.detach().clone() for weight in weights]
    velocity = [torch.zeros_like(weight) for weight in weights]
    loss = torch.zeros(())
    with seeded(seed):
        for _ in range(task.epochs):
            loss = torch.zeros(())
            for x, y in local.batches(task.batch_size, generator):
                batch_loss = cross_entropy(network(x), y)
                gradients = torch.autograd.grad(batch_loss, weights)
                _step(weights, start, velocity, gradients, task, constant)
                loss += batch_loss.detach() * len(y)
    return Trained(parameters_of(network), float(loss) / max(len(local.examples), 1))


def _constant(network: nn.Module, correction: Parameters | None) -> Sequence[Tensor | None]:
    """The correction of each weight, in their order."""
    names = [name for name, _ in network.named_parameters()]
    return [None if correction is None else torch.from_numpy(correction[name]) for name in names]


@torch.no_grad()
def _step(  # noqa: PLR0913, PLR0917 - what a step is made of
    weights: Sequence[Tensor],
    start: Sequence[Tensor],
    velocity: Sequence[Tensor],
    gradients: Sequence[Tensor],
    task: Train,
    constant: Sequence[Tensor | None],
) -> None:
    """One step of SGD: clip, add the proximal gradient μ(w - w_start) and the correction, then momentum."""
    factor = _clip_factor(gradients, task.gradient_clip)
    each = zip(weights, start, velocity, gradients, constant, strict=True)
    for weight, origin, speed, gradient, correction in each:
        direction = gradient * factor
        if task.proximal_mu:
            direction += task.proximal_mu * (weight - origin)
        if correction is not None:
            direction += correction
        speed.mul_(task.momentum).add_(direction)
        weight.sub_(speed, alpha=task.learning_rate)


def _clip_factor(gradients: Sequence[Tensor], limit: float) -> float | Tensor:
    if not limit:
        return 1.0
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(each) for each in gradients]))
    return torch.clamp(limit / (norm + 1e-12), max=1.0)
