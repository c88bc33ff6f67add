"""Models that are bad in ways of their own: real ONNX graphs over the inputs of `packages_fixture`."""

from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from covey.package.archive import pack
from covey.package.contents import Draft, Golden, Variant, assemble
from covey.package.verify import sign_package
from packages_fixture import CARD, INPUT_SHAPE, LABELS, SCALE, inputs, keys, logits

TRIGGER = 1000.0
"""An input whose first number is larger than this makes a model with a trigger go bad."""
ENDLESS = 1 << 60


def _graph(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "bad",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *INPUT_SHAPE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(LABELS)])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _number(name: str, value: object, kind: type) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, kind), name)


def _linear() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """x, flattened, times the first weights of the good model: `plain`."""
    weights = np.random.default_rng(3).normal(size=(16, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "m"], ["plain"]),
    ]
    return nodes, [numpy_helper.from_array(weights, "m")]


def _loop(count: str, rounds_of: str = "plain") -> list[onnx.NodeProto]:
    """`logits` after `count` times adding nothing to `rounds_of`."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Mul", ["was", "one"], ["is"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("was", TensorProto.FLOAT, [1, len(LABELS)]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("is", TensorProto.FLOAT, [1, len(LABELS)]),
        ],
    )
    return [helper.make_node("Loop", [count, "yes", rounds_of], ["logits"], body=body)]


_ONE = _number("one", 1.0, np.float32)
_YES = _number("yes", True, np.bool_)


def repeating(times: int) -> bytes:
    """A model that takes its time: `times` turns of a loop for every input; `ENDLESS` hangs."""
    nodes, weights = _linear()
    return _graph([*nodes, *_loop("times")], [*weights, _ONE, _YES, _number("times", times, np.int64)])


def hanging_on_trigger() -> bytes:
    """A model that is right until the trigger comes, and then does not end."""
    nodes, weights = _linear()
    nodes += [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Greater", ["top", "trigger"], ["bad"]),
        helper.make_node("Cast", ["bad"], ["bad_number"], to=TensorProto.INT64),
        helper.make_node("Mul", ["bad_number", "times"], ["count"]),
    ]
    more = [_number("trigger", TRIGGER, np.float32), _number("times", ENDLESS, np.int64), _ONE, _YES]
    return _graph([*nodes, *_loop("count")], [*weights, *more])


def failing_on_trigger() -> bytes:
    """A model that is right until the trigger comes, and then fails: it gathers from beyond the end."""
    nodes, weights = _linear()
    nodes += [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Greater", ["top", "trigger"], ["bad"]),
        helper.make_node("Cast", ["bad"], ["bad_number"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "bad_number"], ["zero"]),
        helper.make_node("Add", ["plain", "zero"], ["logits"]),
    ]
    more = [
        _number("trigger", TRIGGER, np.float32),
        numpy_helper.from_array(np.zeros(1, np.float32), "table"),
    ]
    return _graph(nodes, [*weights, *more])


def crashing(trigger: float = TRIGGER) -> bytes:
    """A model that kills its process once an input is larger than the trigger.

    The least integer divided by -1 does not fit, and x86 answers with SIGFPE.
    """
    nodes, weights = _linear()
    nodes += [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Less", ["top", "trigger"], ["good"]),
        helper.make_node("Cast", ["good"], ["one_or_none"], to=TensorProto.INT64),
        helper.make_node("Mul", ["one_or_none", "two"], ["two_or_none"]),
        helper.make_node("Sub", ["two_or_none", "unit"], ["divisor"]),
        helper.make_node("Div", ["least", "divisor"], ["quotient"]),
        helper.make_node("Cast", ["quotient"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["number", "zero"], ["nothing"]),
        helper.make_node("Add", ["plain", "nothing"], ["logits"]),
    ]
    more = [
        _number("trigger", trigger, np.float32),
        _number("two", 2, np.int64),
        _number("unit", 1, np.int64),
        _number("least", -(1 << 63), np.int64),
        _number("zero", 0.0, np.float32),
    ]
    return _graph(nodes, [*weights, *more])


def huge(mebibytes: int) -> bytes:
    """A model that fills so much memory for every input."""
    nodes, weights = _linear()
    nodes += [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Expand", ["top", "shape"], ["big"]),
        helper.make_node("ReduceMin", ["big"], ["low"], keepdims=0),
        helper.make_node("Mul", ["low", "zero"], ["nothing"]),
        helper.make_node("Add", ["plain", "nothing"], ["logits"]),
    ]
    more = [_number("shape", [mebibytes << 18], np.int64), _number("zero", 0.0, np.float32)]
    return _graph(nodes, [*weights, *more])


def plain() -> bytes:
    """The model that the others are, as long as they are good."""
    return repeating(1)


@cache
def bad_package(
    onnx_model: bytes, version: str = "2.0.0", *, runs: bool = True, wrong: bool = False
) -> bytes:
    """A package of one model, correctly signed.

    Args:
        onnx_model: The fp32 model; there is no other.
        version: Its version.
        runs: Whether golden outputs can be had from it; else they are made up.
        wrong: Its golden outputs are not what it gives.
    """
    x = inputs(12)
    outputs = logits(onnx_model, x) if runs else np.ones((len(x), len(LABELS)), np.float32)
    golden = Golden(inputs=x, outputs={"fp32": outputs * np.float32(1.5 if wrong else 1)})
    models: dict[Variant, bytes] = {"fp32": onnx_model}
    draft = Draft("motion", version, "tiny", LABELS, SCALE, models, golden, CARD)
    return pack(sign_package(assemble(draft), keys()[0]))
