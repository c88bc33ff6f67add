"""Where in the torch network the quantised tensors of its ONNX graph are.

Devices train with torch and have no ONNX; a server has both. Run on the same inputs, a tensor of the graph
and the point of the network (`covey_models.observing`) that holds the same values are the same thing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from torch import nn

from covey.examples import Floats
from covey_models.observing import everything, probes
from covey_models.quantise_graph import asked, prepared, values

INPUTS: Final = 5
"""Chance does not make two tensors of a network agree on five random inputs."""
TOLERANCE: Final = 1e-3
"""Of a tensor's largest value: the two runtimes add in another order."""


@dataclass(frozen=True)
class Point:
    """A quantised tensor.

    Attributes:
        index: Its point in the torch network.
        tensor: Its name in the prepared graph.
    """

    index: int
    tensor: str


def points_of(network: nn.Module, fp32: bytes, input_shape: tuple[int, ...]) -> tuple[Point, ...]:
    """The points whose ranges the quantiser needs, in graph order; the first point where several agree.

    Args:
        network: Holds the weights that `fp32` was exported from.
        fp32: What `to_onnx` gives.
        input_shape: Of one input.
    """
    x = probes(input_shape, 0)[:INPUTS]
    model = prepared(fp32)
    wanted = values(model, x, asked(model))
    seen = everything(network, x)
    places = ((name, _place(found, seen)) for name, found in wanted.items())
    return tuple(Point(index, name) for name, index in places if index is not None)


def without_point(fp32: bytes, points: Iterable[Point]) -> tuple[str, ...]:
    """Tensors that the quantiser needs a range of and that the network does not show: report them."""
    found = {point.tensor for point in points}
    return tuple(name for name in asked(prepared(fp32)) if name not in found)


def _place(wanted: Floats, seen: Sequence[Floats]) -> int | None:
    return next((index for index, found in enumerate(seen) if _same(wanted, found)), None)


def _same(one: Floats, other: Floats) -> bool:
    if other.ndim == 0 or len(one) != len(other) or one.size != other.size:
        return False
    limit = TOLERANCE * max(float(np.abs(one).max()), 1e-6)
    return bool(np.abs(one.ravel() - other.ravel()).max() <= limit)
