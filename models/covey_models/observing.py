"""Watches a network's values from inside, without changing it: what a device counts for calibration.

A point is a place in the network's computation: point 0 is the input, point k > 0 the k-th float tensor that
a torch function gives while the network runs. The order is the network's own and does not depend on the
inputs (a network that branches on its values cannot be exported either). Functions are counted as the
network's code and torch's modules call them: what torch does underneath differs between processors.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from covey.errors import InputError
from covey.examples import Floats
from covey.seeds import generator
from covey_models.modes import evaluating

PROBES: Final = 256
BATCH: Final = 256
"""Examples at a time: bounds memory, changes no result."""
LEAST_SCALE: Final = 2.0**-20
"""For a point that is zero on every probe."""


def observe(network: nn.Module, x: Floats, points: Sequence[int]) -> list[Floats]:
    """The network's values at some points.

    Args:
        network: Left as it is; runs in evaluation mode.
        x: Scaled inputs, shape (n, *input_shape).
        points: Which, in any order.

    Returns:
        One array per entry of `points`, shape (n, …).

    Raises:
        InputError: The network has no such point, or its value there has no axis for examples.
    """
    found = _run(network, x, frozenset(points))
    for point in points:
        if point not in found:
            raise InputError(
                f"the network has no point {point}", hint="it is not the one that the points were found in"
            )
        if found[point].ndim == 0 or len(found[point]) != len(x):
            raise InputError(f"the network's value at point {point} is not one per example")
    return [found[point] for point in points]


def extremes(network: nn.Module, x: Floats, points: Sequence[int]) -> list[Floats]:
    """Each example's largest and smallest value at each point, shapes (n, 2): all that `ranges.rows` needs.

    Raises:
        InputError: As `observe`.
    """
    parts = [
        [_extremes(values) for values in observe(network, x[start : start + BATCH], points)]
        for start in range(0, max(len(x), 1), BATCH)
    ]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def count(network: nn.Module, input_shape: tuple[int, ...]) -> int:
    """How many points there are, the input among them."""
    return len(_run(network, np.zeros((1, *input_shape), np.float32), None))


def everything(network: nn.Module, x: Floats) -> list[Floats]:
    """The values at all points, in order; those without an axis for examples (a weight, turned) as well."""
    found = _run(network, x, None)
    return [found[point] for point in range(len(found))]


def probes(input_shape: tuple[int, ...], seed: int) -> Floats:
    """Public inputs (256, *input_shape): normal noise, as scaled inputs have mean 0 and deviation 1."""
    noise = generator(seed, "calibration-probes").standard_normal((PROBES, *input_shape))
    return noise.astype(np.float32)


def public_scales(
    network: nn.Module, input_shape: tuple[int, ...], points: Sequence[int], seed: int
) -> tuple[float, ...]:
    """How far each point's values reach on public probes: the power of two at or above the largest one.

    Powers of two because they are the same on machines that add in another order.

    Raises:
        InputError: As `observe`, or a value that is not finite.
    """
    found = extremes(network, probes(input_shape, seed), points)
    return tuple(_power_of_two(float(np.abs(values).max())) for values in found)


def _power_of_two(value: float) -> float:
    if not np.isfinite(value):
        raise InputError("the network gives values that are not finite", hint="its training diverged")
    return float(np.exp2(np.ceil(np.log2(max(value, LEAST_SCALE)))))


def _extremes(values: Floats) -> Floats:
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    if not len(flat):
        return np.zeros((0, 2), np.float32)
    return np.stack((flat.max(1), flat.min(1)), 1)


def _run(network: nn.Module, x: Floats, wanted: frozenset[int] | None) -> dict[int, Floats]:
    """Values by point; those of `wanted`, or all."""
    given = np.ascontiguousarray(x, np.float32)
    watch = _Watch(wanted)
    watch.see(torch.from_numpy(given))
    with evaluating(network), watch:
        network(torch.from_numpy(given))
    return watch.found


class _Watch(TorchFunctionMode):
    """Counts float tensors as torch functions give them, and copies those that are wanted.

    They are copied at once: the next function may write into them.
    """

    def __init__(self, wanted: frozenset[int] | None) -> None:
        super().__init__()
        self._wanted = wanted
        self._next = 0
        self.found: dict[int, Floats] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in _floats(result):
            self.see(tensor)
        return result

    def see(self, tensor: Tensor) -> None:
        if self._wanted is None or self._next in self._wanted:
            copied: NDArray[np.float32] = tensor.detach().to(torch.float32).numpy().copy()
            self.found[self._next] = copied
        self._next += 1


def _floats(result: Any) -> Iterator[Tensor]:
    """Float tensors in what a function gave, in order."""
    if isinstance(result, Tensor):
        if result.is_floating_point():
            yield result
    elif isinstance(result, (tuple, list)):
        for each in result:
            yield from _floats(each)
