import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from covey.errors import InputError
from covey_models.canonical import canonical
from covey_models.runtime import predictor

VECTOR = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3])
RESULT = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])


def talkative() -> onnx.ModelProto:
    """logits = clip(input + v0), told at length; the initialiser's name is one that renaming uses."""
    weight = numpy_helper.from_array(np.array([1, 2, 3], np.float32), "a_long_name_of_a_weight")
    limit = numpy_helper.from_array(np.array(2.5, np.float32), "v0")
    nodes = [
        helper.make_node(
            "Add", ["input", weight.name], ["sum_of_the_two"], name="node_add", doc_string="line 3"
        ),
        helper.make_node("Clip", ["sum_of_the_two", "", "v0"], ["logits"], name="node_clip"),
    ]
    graph = helper.make_graph(nodes, "main_graph", [VECTOR], [RESULT], [weight, limit], doc_string="/home/me")
    graph.value_info.append(helper.make_tensor_value_info("sum_of_the_two", TensorProto.FLOAT, [1, 3]))
    for holder in (graph, graph.node[0], graph.input[0]):
        holder.metadata_props.add(key="stack", value="/home/me/model.py")
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("of.a.tool", 1)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=10, producer_name="a tool", doc_string="said"
    )


def test_only_what_is_computed_with_stays() -> None:
    clean = canonical(talkative())
    for word in (b"long_name", b"sum_of", b"node_", b"line 3", b"/home", b"main_graph", b"tool", b"said"):
        assert word not in clean
    x = np.array([[0, 1, -5]], np.float32)
    np.testing.assert_array_equal(predictor(clean)(x), [[1, 2.5, -2]])


def test_it_is_its_own_canonical_form() -> None:
    clean = canonical(talkative())
    assert canonical(onnx.load_from_string(clean)) == clean


def test_the_model_given_is_left_as_it_is() -> None:
    model = talkative()
    canonical(model)
    assert model == talkative()


def test_branches_are_refused() -> None:
    graph = talkative().graph
    branch = helper.make_graph([helper.make_node("Identity", ["input"], ["out"])], "b", [], [RESULT])
    branch.node[0].output[0] = "logits"
    node = helper.make_node("If", ["input"], ["logits"], then_branch=branch, else_branch=branch)
    with pytest.raises(InputError, match="branches or loops"):
        canonical(helper.make_model(helper.make_graph([node], "g", graph.input, graph.output)))
