"""How a network is trained for a whole cohort: by hand, by vmap, or one device after the other.

What is fastest depends on what a step's time is made of. Small networks are overhead: a step's arithmetic
takes microseconds, its calls a millisecond, and one call for a hundred devices is fifty times as fast. Large
convolutions are arithmetic, which batching cannot save. The choice is a rule on the network, never a
measurement: a run must come to the same model on a busy machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from covey_models.cohort.dense import dense
from covey_models.cohort.in_turn import InTurn
from covey_models.cohort.step import Optimiser, Stacked
from covey_models.cohort.steps import Cohort
from covey_models.cohort.vmapped import Vmapped, refusal
from covey_models.model import Model

MOST_MULTIPLICATIONS: Final = 150_000
"""Of one example forwards: above, a network with convolutions is trained in turn (docs/performance.md)."""
MOST_WEIGHTS: Final = 400_000
"""Of a network without: above, a cohort's weights leave the caches at every step."""


class Program(Protocol):
    """Trains stacked weights."""

    def train(self, weights: Stacked, cohort: Cohort, optimiser: Optimiser) -> Tensor:
        """Train in place.

        Args:
            weights: By name, (devices, *shape), contiguous, in the cohort's order.
            cohort: What each device trains on.
            optimiser: At the start.

        Returns:
            (devices,): cross-entropy summed over the last epoch, as seen while training, nats.
        """


@dataclass(frozen=True)
class Chosen:
    """A program, and what a person asks about it.

    Attributes:
        program: The program.
        how: "matrix products by hand", "vmap" or "one device after the other".
        why: Where devices are trained one after the other, the reason; else empty.
        weights: Of the network.
        floats: float32 elements that one device takes while it trains, about.
    """

    program: Program
    how: str
    why: str
    weights: int
    floats: int

    @property
    def is_batched(self) -> bool:
        """Whether several devices are trained at once."""
        return not isinstance(self.program, InTurn)


def choose(model: Model, batch_size: int) -> Chosen:
    """The program for a model; deterministic.

    Args:
        model: What is trained.
        batch_size: Examples a step, about.
    """
    with torch.random.fork_rng(devices=[]):
        network = model.build()
    weights = sum(each.numel() for each in network.parameters())
    multiplications, activations = _measured(network, model.input_shape)
    floats = 4 * weights + 4 * 2 * batch_size * (activations + prod(model.input_shape))
    by_hand = dense(network, model.input_shape)
    if by_hand is not None and weights <= MOST_WEIGHTS:
        return Chosen(by_hand, "matrix products by hand", "", weights, floats)
    if multiplications > MOST_MULTIPLICATIONS and (by_hand is None or weights > MOST_WEIGHTS):
        why = f"its time is arithmetic ({multiplications / 1e6:.1f} million multiplications an example)"
        return Chosen(InTurn.of(network, why), "one device after the other", why, weights, floats)
    why = refusal(network, model.input_shape)
    if why:
        return Chosen(InTurn.of(network, why), "one device after the other", why, weights, floats)
    return Chosen(Vmapped.of(network), "vmap", "", weights, floats)


def _measured(network: nn.Module, input_shape: tuple[int, ...]) -> tuple[int, int]:
    """Multiplications of products, and numbers that any operation gives, of one example forwards."""
    counter = _Counter()
    with torch.random.fork_rng(devices=[]), torch.no_grad(), counter:
        network(torch.zeros(1, *input_shape))
    return counter.multiplications, counter.activations


class _Counter(TorchFunctionMode):
    """Counts as functions are called: PyTorch's own counter of operations brings 75 MB with it."""

    def __init__(self) -> None:
        super().__init__()
        self.multiplications = 0
        self.activations = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor):
            self.activations += found.numel()
            name = getattr(func, "__name__", "")
            if name in _PRODUCTS and isinstance(args[1], Tensor):
                self.multiplications += found.numel() * _PRODUCTS[name](args[0], args[1])
        return found


_PRODUCTS: Final[dict[str, Callable[[Tensor, Tensor], int]]] = {
    "linear": lambda _, weight: weight.shape[-1],
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), lambda _, weight: weight[0].numel()),
    **dict.fromkeys(("matmul", "mm", "bmm", "__matmul__"), lambda left, _: left.shape[-1]),
    "scaled_dot_product_attention": lambda query, key: 2 * key.shape[-2] if query.dim() > 1 else 0,
}
"""Multiplications for each number that they give, from their first two tensors."""
