"""A float32 graph as the quantiser sees it: which tensors it needs ranges of, and their values."""

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from covey.examples import Floats
from covey_models.export import INPUT
from covey_models.runtime import ERRORS_ONLY

HEAVY: Final = ("Conv", "Gemm", "MatMul")
"""Where the arithmetic and the weights are."""
LIMITERS: Final = ("Relu", "Clip")
"""They vanish into the range of what precedes them."""
CARRIERS: Final = ("MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
"""They pass int8 on, with the range of their input.

Everything else stays float: with averages and concatenations in int8 the zoo's models were neither faster nor
smaller, and a layer without int8 kernels (GroupNorm) would be converted to and fro.
"""
LEVELS: Final = 255
UNKNOWN: Final = ((0.0, 2.0**-60), (0.0, 2.0**60))
"""Two ranges for tensors that have none: the quantiser wants an entry for each, and it must not matter."""
Range = tuple[float, float]


def prepared(fp32: bytes) -> ModelProto:
    """The graph with constants folded and shapes inferred; its tensors' names are those that ranges use."""
    with tempfile.TemporaryDirectory(prefix="covey-int8-") as folder:
        given, result = Path(folder, "fp32.onnx"), Path(folder, "prepared.onnx")
        given.write_bytes(fp32)
        # The symbolic half of shape inference is for dynamic shapes; the batch axis is fixed here.
        quant_pre_process(given, result, skip_symbolic_shape=True)
        model: ModelProto = onnx.load(result)
        return model


def heavy(model: ModelProto) -> tuple[NodeProto, ...]:
    """Nodes with weights of their own that int8 makes smaller, in graph order."""
    weights = {each.name for each in model.graph.initializer}
    return tuple(node for node in model.graph.node if node.op_type in HEAVY and node.input[1] in weights)


def asked(model: ModelProto, leave: Collection[str] = ()) -> tuple[str, ...]:
    """Tensors whose ranges decide the int8 file, in graph order.

    The quantiser itself tells: each tensor gets a scale of its own, and those that turn up in the result
    were used.

    Args:
        model: As `prepared` gives.
        leave: Names of nodes that stay float.
    """
    tensors = _activations(model)
    ranges = {name: (0.0, float(LEVELS * number)) for number, name in enumerate(tensors, start=1)}
    used = _scales(_quantise(model, ranges, leave))
    return tuple(name for number, name in enumerate(tensors, start=1) if float(number) in used)


def quantised(model: ModelProto, ranges: Mapping[str, Range], leave: Collection[str] = ()) -> ModelProto:
    """int8 weights per channel, uint8 activations of these ranges, in QDQ form; nothing else is looked at.

    Activations are unsigned because ONNX Runtime has more kernels for u8 by s8 than for s8 by s8 on x86.
    Weights use seven of their eight bits: processors with AVX2 and no VNNI add two products in 16 bits, which
    eight bits overflow, and a model would decide otherwise there than where it was measured.

    Raises:
        ValueError: A tensor that decides the result has no range.
    """
    needed = asked(model, leave)
    if missing := [name for name in needed if name not in ranges]:
        raise ValueError(f"no range for {', '.join(missing)}")
    known = carried(model, {name: ranges[name] for name in needed})
    one, other = (
        _quantise(model, dict.fromkeys(_activations(model), unknown) | known, leave) for unknown in UNKNOWN
    )
    if one != other:
        raise ValueError("a tensor without a range decides the int8 file")
    return one


def _quantise(model: ModelProto, ranges: Mapping[str, Range], leave: Collection[str]) -> ModelProto:
    """ONNX Runtime's quantiser, with a range for every tensor."""
    copied = ModelProto()
    copied.CopyFrom(model)
    known = {name: _tensor_data(low, high) for name, (low, high) in ranges.items()}
    quantiser = QDQQuantizer(
        copied,
        per_channel=True,
        reduce_range=True,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, known),
        nodes_to_quantize=[],
        nodes_to_exclude=list(leave),
        op_types_to_quantize=[*HEAVY, *LIMITERS, *CARRIERS],
        extra_options={},
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    result: ModelProto = quantiser.model.model
    return result


def values(model: ModelProto, x: Floats, tensors: Sequence[str]) -> dict[str, Floats]:
    """What some tensors hold for each input, shapes (n, *shape of one).

    Args:
        model: As `prepared` gives.
        x: Scaled inputs (n, *input_shape), n >= 1.
        tensors: Names of float tensors.
    """
    runs = list(_runs(model, x, tensors))
    return {name: np.concatenate([run[place] for run in runs]) for place, name in enumerate(tensors)}


def seen(model: ModelProto, x: Floats, tensors: Sequence[str]) -> dict[str, Range]:
    """The smallest and largest value of some tensors over all inputs, and 0; arguments as of `values`."""
    ends = dict.fromkeys(tensors, (0.0, 0.0))
    for run in _runs(model, x, tensors):
        for name, found in zip(tensors, run, strict=True):
            low, high = ends[name]
            ends[name] = (min(low, float(found.min())), max(high, float(found.max())))
    return ends


def _runs(model: ModelProto, x: Floats, tensors: Sequence[str]) -> Iterator[list[Floats]]:
    """The values of `tensors` for one input after the other."""
    session = _session(_with_outputs(model, tensors))
    for one in x:
        yield session.run(list(tensors), {INPUT: one[None]})


def carried(model: ModelProto, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges, and those of what carries them on without a range of its own.

    They are asked for where the node before stays float, and the quantiser fits biases to them in any case.
    """
    result = dict(ranges)
    for node in model.graph.node:
        if node.op_type in CARRIERS and node.input[0] in result:
            result.setdefault(node.output[0], result[node.input[0]])
    return result


def limited(model: ModelProto, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges within what a Relu or Clip can give.

    The quantiser drops a Relu because the range that follows begins at 0, so it must.
    """
    result = dict(ranges)
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in LIMITERS and node.output[0] in result:
            least, most = _limits(node, constants)
            low, high = result[node.output[0]]
            result[node.output[0]] = (max(low, least), min(high, most))
    return result


def _limits(node: NodeProto, constants: Mapping[str, Any]) -> Range:
    if node.op_type == "Relu":
        return 0.0, float("inf")
    given = [constants.get(name) for name in (*node.input[1:], "", "")[:2]]
    least, most = given
    return (
        -float("inf") if least is None else float(least),
        float("inf") if most is None else float(most),
    )


def _activations(model: ModelProto) -> tuple[str, ...]:
    """Names of float tensors that are neither weights nor constants, in graph order."""
    weights = {each.name for each in model.graph.initializer}
    typed = _typed(model)
    made = [name for node in model.graph.node for name in node.output]
    inputs = [each.name for each in model.graph.input if each.name not in weights]
    floats = (name for name in (*inputs, *made) if name in typed)
    return tuple(name for name in floats if typed[name].type.tensor_type.elem_type == TensorProto.FLOAT)


def _typed(model: ModelProto) -> dict[str, onnx.ValueInfoProto]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {each.name: each for each in (*graph.value_info, *graph.input, *graph.output)}


def _scales(model: ModelProto) -> set[float]:
    """Scales by which the graph quantises activations."""
    constants = {each.name: each for each in model.graph.initializer}
    return {
        float(onnx.numpy_helper.to_array(constants[node.input[1]]))
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    }


def _tensor_data(low: float, high: float) -> TensorData:
    return TensorData(lowest=np.float32(low), highest=np.float32(high))


def _with_outputs(model: ModelProto, names: Iterable[str]) -> ModelProto:
    result = ModelProto()
    result.CopyFrom(model)
    typed = _typed(model)
    there = {each.name for each in model.graph.output}
    result.graph.output.extend(typed[name] for name in names if name not in there)
    return result


def _session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
