"""Models whose answer on one example depends on others, or that fail on some, are not asked about."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from covey.errors import PackageError
from covey.package.operators import refuse_operators
from covey_models.export import to_onnx
from covey_models.observing import probes
from covey_models.quantise import to_int8, to_int8_weights
from covey_models.registry import find, names


def model(*nodes: onnx.NodeProto, **parts: Any) -> bytes:
    """A graph of these nodes; nothing here is run."""
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    made: bytes = helper.make_model(
        helper.make_graph(list(nodes), "g", [], [value]), **parts
    ).SerializeToString()
    return made


def node(op: str, outputs: int = 1, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, ["x"], [f"y{number}" for number in range(outputs)], **attributes)


def branch() -> onnx.NodeProto:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    inside = helper.make_graph([node("Relu")], "b", [], [value])
    return helper.make_node("If", ["c"], ["y"], then_branch=inside, else_branch=inside)


def named_twice() -> bytes:
    """protobuf's readers take the last of two names, and a careless one the first."""
    names = b"".join(node(op).SerializeToString() for op in ("Relu", "Loop", "Relu"))
    graph = b"\x0a" + bytes([len(names)]) + names
    return b"\x3a" + bytes([len(graph)]) + graph


FUNCTION = helper.make_function("", "Relu", ["x"], ["y"], [node("Loop")], [helper.make_opsetid("", 18)])


@pytest.mark.parametrize("name", names())
def test_what_is_released_may_be_asked_about(name: str) -> None:
    found = find(name)
    fp32 = to_onnx(found.build(), found.input_shape)
    for data in (fp32, to_int8(fp32, probes(found.input_shape, 0)[:2]), to_int8_weights(fp32)):
        refuse_operators("model", data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (model(node("RandomUniform")), "RandomUniform"),
        (model(node("Dropout")), "Dropout"),
        (model(node("Cast", to=TensorProto.INT64)), "Cast"),
        (model(node("ArgMax")), "ArgMax"),
        (model(node("Pow")), "Pow"),
        (model(node("MaxPool", 2)), "MaxPool with 2 outputs"),
        (model(node("Relu"), branch()), "If"),
        (named_twice(), "Loop"),
        (model(node("Relu", domain="com.example")), "com.example"),
        (model(helper.make_node("", ["x"], ["y"])), r"asked about:  \("),
        (model(functions=[FUNCTION]), "of its own"),
        (b"\x3a\x02\x08\x01", "no message"),
        (b"\x3a\x05", "not an ONNX file"),
    ],
)
def test_whatever_could_tie_examples_together_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(PackageError, match=said):
        refuse_operators("new", data)


def test_a_split_has_outputs_that_are_alike() -> None:
    refuse_operators(
        "new", model(node("Split", 3), node("Constant", value=numpy_helper.from_array(np.zeros(1))))
    )
