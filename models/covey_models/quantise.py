"""From a float32 ONNX file to int8.

What a fleet's server does with a trained network: export (`covey_models.export`), find the activation ranges
(one of the methods below), quantise, compare (the gate). Where the gate refuses int8 of every method,
quantisation-aware training belongs between the two: it goes on training the network with rounding in its
forward pass, by further rounds of the fleet, and its result is exported, calibrated and gated like any other.
Until it is there, a release that fails the gate ships float32 alone.
"""

from collections.abc import Collection, Mapping
from math import isfinite
from typing import Final, Literal

import numpy as np

from covey.errors import InputError
from covey.examples import Floats
from covey_models.canonical import canonical
from covey_models.quantise_graph import Range, asked, carried, limited, prepared, quantised, seen
from covey_models.quantise_weights import to_int8_weights

__all__ = ["METHODS", "Method", "left_float", "to_int8", "to_int8_weights", "to_int8_with"]

Method = Literal["private", "public", "pooled", "weights-only"]
METHODS: Final[Mapping[Method, str]] = {
    "private": "Activation ranges were read from a private sum of histograms over the fleet's own examples.",
    "public": "Activation ranges were taken from public inputs, none of which comes from a device.",
    "pooled": "Activation ranges were taken from raw examples in one place, which no ε covers.",
    "weights-only": "Only weights are int8; activations stay float32 and needed no calibration.",
}
"""For the model card: where the activation ranges come from."""


def to_int8(fp32: bytes, calibration: Floats) -> bytes:
    """As `to_int8_with`, with ranges from the smallest and largest value over some inputs.

    (Jacob et al., arXiv:1712.05877.)

    Args:
        fp32: What `to_onnx` gives.
        calibration: Scaled inputs, float32 (n, *input_shape), n >= 1, such as the model will meet. They
            shape the file: use public inputs, or say in the card whose they are.

    Raises:
        InputError: No calibration inputs, or not finite.
    """
    if not len(calibration) or not np.isfinite(calibration).all():
        raise InputError("calibration needs at least one input, all finite")
    model = prepared(fp32)
    return to_int8_with(fp32, seen(model, calibration, asked(model)))


def to_int8_with(fp32: bytes, ranges: Mapping[str, Range], leave: Collection[str] = ()) -> bytes:
    """Static quantisation from known ranges: int8 weights per channel, uint8 activations; deterministic.

    No inputs are needed, and none are looked at. A node beside a tensor that has no range stays float
    (`left_float` names them). Convolutions and matrix products are quantised, and what passes int8 on.

    Args:
        fp32: What `to_onnx` gives.
        ranges: (low, high) by tensor of the prepared graph (see `quantise_points`), low <= 0 <= high.
        leave: Names of nodes of the prepared graph that stay float, whatever ranges there are.

    Returns:
        An ONNX file with the input and output of `fp32`, both float32.

    Raises:
        InputError: A range that is not finite or does not hold 0.
    """
    for name, (low, high) in ranges.items():
        if not (isfinite(low) and isfinite(high) and low <= 0 <= high):
            raise InputError(f"tensor {name} cannot range from {low} to {high}")
    model = prepared(fp32)
    stay = {*leave, *left_float(fp32, ranges, leave)}
    return canonical(quantised(model, carried(model, limited(model, ranges)), stay))


def left_float(fp32: bytes, ranges: Collection[str], leave: Collection[str] = ()) -> tuple[str, ...]:
    """Nodes that stay float because a tensor beside them has no range, besides those of `leave`.

    Args:
        fp32: What `to_onnx` gives.
        ranges: Tensors of the prepared graph that have a range.
        leave: Names of nodes that stay float anyway.
    """
    model, found = prepared(fp32), list[str]()
    known = set(carried(model, dict.fromkeys(ranges, (0.0, 0.0))))
    # Leaving one node may ask for a tensor that was hidden before; each turn leaves one node more at least.
    while missing := set(asked(model, {*leave, *found})) - known:
        stay = {*leave, *found}
        found += [
            node.name
            for node in model.graph.node
            if node.name not in stay and missing & {*node.input, *node.output}
        ]
    return tuple(found)
