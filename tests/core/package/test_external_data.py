"""Weights in another file would not be covered by a signature."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from covey.errors import PackageError
from covey.package.external_data import refuse_external_data
from packages_fixture import model


def outside(name: str = "w") -> onnx.TensorProto:
    """A tensor whose numbers lie in w.bin."""
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    return tensor


def graph(*nodes: onnx.NodeProto, tensors: tuple[onnx.TensorProto, ...] = ()) -> onnx.GraphProto:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    return helper.make_graph(list(nodes), "g", [], [value], list(tensors))


def constant() -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["y"], value=outside())


def branching() -> onnx.NodeProto:
    inside = graph(constant())
    return helper.make_node("If", ["c"], ["y"], then_branch=inside, else_branch=inside)


def in_a_function() -> onnx.ModelProto:
    function = helper.make_function("d", "f", [], ["y"], [constant()], [helper.make_opsetid("", 18)])
    return helper.make_model(graph(), functions=[function])


def in_a_sparse_tensor() -> onnx.ModelProto:
    made = helper.make_model(graph())
    made.graph.sparse_initializer.add().values.CopyFrom(outside())
    return made


def renamed_only() -> onnx.ModelProto:
    """The list of files is there, the flag is not."""
    tensor = outside()
    tensor.ClearField("data_location")
    return helper.make_model(graph(tensors=(tensor,)))


EXTERNAL = {
    "initializer": helper.make_model(graph(tensors=(outside(),))),
    "attribute": helper.make_model(graph(constant())),
    "subgraph": helper.make_model(graph(branching())),
    "function": in_a_function(),
    "sparse": in_a_sparse_tensor(),
    "no flag": renamed_only(),
}


@pytest.mark.parametrize("place", EXTERNAL)
def test_weights_in_another_file_are_refused_wherever_they_hide(place: str) -> None:
    with pytest.raises(PackageError, match=r"model\.fp32\.onnx: keeps weights in another file"):
        refuse_external_data("model.fp32.onnx", EXTERNAL[place].SerializeToString())


def test_a_model_in_one_file_passes() -> None:
    refuse_external_data("model.fp32.onnx", model())
    assert len(model()) > 100


@given(st.integers(0, len(model()) - 1), st.integers(1, 255))
def test_a_changed_file_is_refused_or_passes_and_nothing_else(place: int, change: int) -> None:
    changed = bytearray(model())
    changed[place] ^= change
    try:
        refuse_external_data("m", bytes(changed))
    except PackageError as error:
        assert error.message.startswith("m: ")  # noqa: PT017 - both outcomes are right
