"""One gradient per example: what privacy of single examples clips, rounds and adds up.

A device draws its examples by secret coins, averages a few augmented copies inside each example's gradient,
and then clips each gradient on its own (in `covey.encode`, exactly). Adding or removing an example therefore
moves the sum by at most the clip norm, provided that no example's gradient depends on another example
(`refuse_mixing`).

Gradients are taken by Opacus (Yousefpour et al., arXiv:2109.12298). It needs up to three times as long as
torch.func.vmap where convolutions are depthwise, and is as fast or faster elsewhere.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from covey.errors import InputError
from covey.seeds import derive
from covey.stream import Stream
from covey_models.training import Local, seeded

if TYPE_CHECKING:
    from opacus.grad_sample import GradSampleModule

Index = NDArray[np.int64]

_ROWS: Final = 64
"""Most augmented copies in one pass: with more, the activations leave a core's cache."""
_FLOATS: Final = 1 << 20
"""Most gradient elements in one pass: 4 MiB of float32, of which Opacus makes a few copies."""


@dataclass(frozen=True)
class Gradients:
    """Of a few examples, in the order in which they were asked for.

    Attributes:
        vectors: float64 (n, d), not clipped; each row in the order of `covey.arrays.Layout`. A row may be
            non-finite, and then is so alone.
        losses: float64 (n,), cross-entropy in nats, before any step.
    """

    vectors: NDArray[np.float64]
    losses: NDArray[np.float64]


def poisson(examples: int, rate: float, coins: Stream) -> Index:
    """Each example with probability `rate`, independently.

    Reads 8 bytes of `coins` an example, whatever the outcome. The probability is `rate` rounded down to a
    multiple of 2^-64, so never above what is accounted for.

    Args:
        examples: How many there are to choose from.
        rate: q, 0 < q ≤ 1.
        coins: Secret. What follows in the stream may serve other uses.

    Returns:
        Positions in increasing order; often none.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"a sampling rate of {rate}")
    words = coins.words64(examples)
    if rate == 1:
        return np.arange(examples)
    return np.flatnonzero(words < np.uint64(int(Fraction(rate) * 2**64)))


def gradients(network: nn.Module, local: Local, index: Index, copies: int, seed: int) -> Iterator[Gradients]:
    """Gradients of one device's examples; see `Taker`."""
    return Taker(network, local.examples.x.shape[1:])(local, index, copies, seed)


class Taker:
    """Takes gradients of the loss at the parameters that a network holds now.

    Args:
        network: Left as it is; layers that differ between training and evaluation train.
        input_shape: Of one input.

    Raises:
        InputError: See `refuse_mixing`.
    """

    def __init__(self, network: nn.Module, input_shape: tuple[int, ...]) -> None:
        from opacus.grad_sample import GradSampleModule  # noqa: PLC0415 - 1.4 s: for those who need it

        refuse_mixing(network, input_shape)
        self._rows = min(_ROWS, _FLOATS // sum(weight.numel() for weight in network.parameters()))
        # Opacus leaves attributes on the network and on its weights, hence a copy of its own.
        self._hooked = GradSampleModule(deepcopy(network).train(), loss_reduction="sum")
        _ask_for_input_gradients(self._hooked)

    def __call__(self, local: Local, index: Index, copies: int, seed: int) -> Iterator[Gradients]:
        """Gradients of some examples, a bounded number at a time.

        Args:
            local: Where the examples are, and how they are augmented and scaled.
            index: Which examples; may be empty.
            copies: K ≥ 1, augmented copies whose mean gradient is an example's (De et al., arXiv:2204.13650).
                One is taken where there is no augmentation.
            seed: Decides augmentation and dropout, nothing else. Fresh and as secret as the coins: one
                example more or less shifts the draws of those after it, so that the gradients of the others
                keep their distribution, and the sum its bound, only for someone who does not know the seed.

        Returns:
            Consecutive examples. Memory depends on the network and on `copies`, not on the length of `index`.
        """
        copies = 1 if local.augment is None else copies
        return _in_chunks(self._hooked, local, index, _Size(max(1, self._rows // copies), copies), seed)


def refuse_mixing(network: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Refuse a network for which one example's gradient, in training, would not be its own.

    Raises:
        InputError: It has buffers, or an output depends on another input of its batch.
    """
    buffers = [name for name, _ in network.named_buffers()]
    if buffers:
        raise InputError(f"no gradient per example: the network has buffers ({', '.join(buffers[:3])})")
    with seeded(0):
        x = torch.randn(2, *input_shape, requires_grad=True)
        outputs = deepcopy(network).train()(x)
        (towards,) = torch.autograd.grad(outputs[0].square().sum(), x)
    if bool(towards[1].any()):
        raise InputError(
            "no gradient per example: an output depends on the other inputs of its batch",
            hint="leave batch normalisation out; normalise over a layer or a group instead",
        )


@dataclass(frozen=True)
class _Size:
    """Of one pass: so many examples, each so many times."""

    examples: int
    copies: int


def _in_chunks(
    hooked: "GradSampleModule", local: Local, index: Index, size: _Size, seed: int
) -> Iterator[Gradients]:
    for start in range(0, len(index), size.examples):
        key = derive(seed, "gradients", start)
        x, y = _copied(local, index[start : start + size.examples], size.copies, key)
        with seeded(key):
            found = _gradients(hooked, x, y)
        yield _averaged(found, size.copies)


def _ask_for_input_gradients(hooked: "GradSampleModule") -> None:
    """Let each layer that learns take a gradient towards its input.

    Without one, torch warns in every pass of Opacus's hooks. Asking for it at the network's own input would
    also send it back through layers that do not learn.
    """
    for module in hooked.modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_pre_hook(_as_leaves)


def _as_leaves(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_as_leaf(each) for each in inputs)


def _as_leaf(value: Any) -> Any:
    wants = isinstance(value, Tensor) and value.is_floating_point() and not value.requires_grad
    return value.detach().requires_grad_() if wants else value


def _copied(local: Local, index: Index, copies: int, key: int) -> tuple[Tensor, Tensor]:
    """Each example `copies` times in a row, each copy augmented in its own way, then scaled."""
    x = torch.from_numpy(local.examples.x[index]).repeat_interleave(copies, 0)
    y = torch.from_numpy(local.examples.y[index]).repeat_interleave(copies, 0)
    if local.augment is not None:
        x = local.augment(x, torch.Generator().manual_seed(key))
    return local.scaled(x), y


def _gradients(hooked: "GradSampleModule", x: Tensor, y: Tensor) -> Gradients:
    """One row per input."""
    hooked.zero_grad(set_to_none=True)
    losses = cross_entropy(hooked(x), y, reduction="none")
    torch.autograd.backward(losses.sum())
    weights = sorted(hooked._module.named_parameters())  # noqa: SLF001 - has no public name
    rows = [_rows(weight, len(y)) for _, weight in weights]
    return Gradients(torch.cat(rows, 1).double().numpy(), losses.detach().double().numpy())


def _rows(weight: Any, inputs: int) -> Tensor:
    """Of one weight, shape (inputs, elements); a weight that the loss does not depend on has none."""
    found: Tensor | None = weight.grad_sample
    return torch.zeros(inputs, weight.numel()) if found is None else found.reshape(inputs, -1)


def _averaged(found: Gradients, copies: int) -> Gradients:
    """One row per example, from one per copy."""
    vectors = found.vectors.reshape(-1, copies, found.vectors.shape[1])
    return Gradients(vectors.mean(1), found.losses.reshape(-1, copies).mean(1))
