"""int8 weights with float arithmetic: a smaller file that needs no calibration."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from covey_models.canonical import canonical
from covey_models.quantise_graph import heavy, prepared

LARGEST: Final = 127
LEAST_SCALE: Final = 2.0**-100
"""For a channel whose weights are all zero."""


def to_int8_weights(fp32: bytes) -> bytes:
    """Weights of convolutions and matrix products as int8, each channel with its own scale; deterministic.

    Activations and arithmetic stay float32, so nothing has to be known of the data. The file shrinks as an
    int8 file does; it runs no faster than float32, since weights are turned back at every inference.

    Args:
        fp32: What `to_onnx` gives.

    Returns:
        An ONNX file with the input and output of `fp32`, both float32.
    """
    model = prepared(fp32)
    weights = {each.name: each for each in model.graph.initializer}
    turned = {node.input[1]: _channel_axis(node, weights[node.input[1]]) for node in heavy(model)}
    back = [node for name, axis in turned.items() for node in _replaced(model, weights[name], axis)]
    nodes = [*back, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return canonical(model)


def _channel_axis(node: NodeProto, weight: TensorProto) -> int:
    """The axis of a weight that runs over its outputs."""
    if node.op_type == "Conv":
        return 0
    transposed = any(each.name == "transB" and each.i for each in node.attribute)
    return 0 if transposed else len(weight.dims) - 1


def _replaced(model: ModelProto, weight: TensorProto, axis: int) -> list[NodeProto]:
    """Put int8 numbers in the place of a weight; gives the node that turns them back."""
    whole, scale = _rounded(numpy_helper.to_array(weight), axis)
    name = weight.name
    model.graph.initializer.remove(weight)
    model.graph.initializer.extend(
        (numpy_helper.from_array(whole, f"{name}_int8"), numpy_helper.from_array(scale, f"{name}_scale"))
    )
    return [helper.make_node("DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [name], axis=axis)]


def _rounded(weight: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Whole numbers -127 to 127, and one scale per channel."""
    others = tuple(each for each in range(weight.ndim) if each != axis)
    scale = np.maximum(np.abs(weight).max(others), LEAST_SCALE).astype(np.float32) / np.float32(LARGEST)
    shape = [-1 if each == axis else 1 for each in range(weight.ndim)]
    whole = np.rint(weight / scale.reshape(shape)).clip(-LARGEST, LARGEST)
    return whole.astype(np.int8), scale.astype(np.float32)
