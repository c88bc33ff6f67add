import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from covey.errors import InputError
from covey.examples import Floats
from covey_models.export import to_onnx
from covey_models.quantise import METHODS, left_float, to_int8, to_int8_weights, to_int8_with
from covey_models.quantise_graph import asked, heavy, prepared, quantised, seen, values
from covey_models.registry import find, names
from covey_models.runtime import predictor


@cache
def exported(name: str) -> bytes:
    """With biases, which only training brings and the quantiser treats apart."""
    torch.manual_seed(7)
    network = find(name).build()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    return to_onnx(network, find(name).input_shape)


def inputs(name: str, n: int) -> Floats:
    return np.random.default_rng(n).normal(size=(n, *find(name).input_shape)).astype(np.float32)


def optimised_operators(model: bytes, folder: Path) -> list[str]:
    """What ONNX Runtime really runs, which is not what the file says."""
    options = ort.SessionOptions()
    options.log_severity_level = 3  # that an optimised graph belongs to one machine
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


@pytest.mark.parametrize("name", names())
def test_every_heavy_node_runs_in_int8_and_decides_alike(name: str, tmp_path: Path) -> None:
    fp32, x = exported(name), inputs(name, 200)
    int8 = to_int8(fp32, inputs(name, 64))
    operators = optimised_operators(int8, tmp_path)
    assert {"QLinearConv", "QGemm"} & set(operators)
    assert not {"Conv", "FusedConv", "Gemm"} & set(operators)
    agree = predictor(int8)(x).argmax(1) == predictor(fp32)(x).argmax(1)
    assert agree.mean() > (0.85 if name == "wrist-private" else 0.9)  # untrained, on noise: narrow margins
    assert len(int8) < (0.65 if len(fp32) > 10_000 else 0.8) * len(fp32)  # the scales of a few layers add up


def test_the_same_inputs_give_the_same_bytes() -> None:
    fp32, calibration = exported("digits"), inputs("digits", 16)
    int8 = to_int8(fp32, calibration)
    assert to_int8(fp32, calibration) == int8
    assert to_int8(fp32, calibration * 2) != int8
    assert not [
        word for word in (b"onnx.quant", b"onnx.infer", b"_quantized", b"/tmp", b"node_") if word in int8
    ]


def test_the_interface_stays() -> None:
    graph = onnx.load_from_string(to_int8(exported("digits"), inputs("digits", 4))).graph
    assert [each.name for each in (*graph.input, *graph.output)] == ["input", "logits"]
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_nothing_is_left_on_disk_or_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    to_int8(exported("digits"), inputs("digits", 4))
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "calibration", [np.zeros((0, 1, 8, 8), np.float32), np.full((1, 1, 8, 8), np.nan, np.float32)]
)
def test_calibration_needs_finite_inputs(calibration: Floats) -> None:
    with pytest.raises(InputError, match="at least one input, all finite"):
        to_int8(b"", calibration)


@pytest.mark.parametrize("name", names())
def test_ranges_alone_make_the_same_file_as_the_inputs_they_come_from(name: str) -> None:
    fp32, x = exported(name), inputs(name, 16)
    model = prepared(fp32)
    found = seen(model, x, asked(model))
    assert to_int8_with(fp32, found) == to_int8(fp32, x)
    narrow = {tensor: (low / 2, high / 2) for tensor, (low, high) in found.items()}
    assert to_int8_with(fp32, narrow) != to_int8(fp32, x)


def test_ranges_of_tensors_that_are_not_asked_for_change_nothing() -> None:
    fp32, x = exported("digits"), inputs("digits", 16)
    model = prepared(fp32)
    found = seen(model, x, asked(model))
    others = {name for node in model.graph.node for name in node.output} - set(found)
    assert others
    assert to_int8_with(fp32, dict.fromkeys(others, (-1e9, 1e9)) | found) == to_int8_with(fp32, found)


def test_a_range_read_with_noise_keeps_a_relu_a_relu() -> None:
    fp32, x = exported("digits"), inputs("digits", 100)
    model = prepared(fp32)
    found = seen(model, x, asked(model))
    (relu,) = (node.output[0] for node in model.graph.node[:2] if node.op_type == "Relu")
    low, high = found[relu]
    assert low == 0
    assert to_int8_with(fp32, found | {relu: (-high, high)}) == to_int8_with(fp32, found)


def test_a_layer_without_ranges_stays_float_and_is_named(tmp_path: Path) -> None:
    fp32, x = exported("digits"), inputs("digits", 50)
    model = prepared(fp32)
    found = seen(model, x, asked(model))
    logits = found.pop("logits")
    last = heavy(model)[-1].name
    assert last in left_float(fp32, found)
    int8 = to_int8_with(fp32, found)
    operators = optimised_operators(int8, tmp_path)
    assert operators.count("QLinearConv") == 2
    assert "Gemm" in operators
    assert left_float(fp32, found | {"logits": logits}) == ()
    np.testing.assert_allclose(predictor(to_int8_with(fp32, {}))(x), predictor(fp32)(x), rtol=1e-4, atol=1e-4)


def test_the_quantiser_is_not_run_with_a_range_missing() -> None:
    model = prepared(exported("digits"))
    known = dict.fromkeys(asked(model), (-1.0, 1.0))
    del known["logits"]
    with pytest.raises(ValueError, match="no range for logits"):
        quantised(model, known)


def test_values_that_nobody_gave_cannot_decide_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quantiser fits biases to ranges that show in no scale: without them the file is refused."""
    model = prepared(exported("digits"))
    known = dict.fromkeys(asked(model), (-1.0, 1.0))
    quantised(model, known)
    monkeypatch.setattr("covey_models.quantise_graph.carried", lambda _model, ranges: dict(ranges))
    with pytest.raises(ValueError, match="without a range decides"):
        quantised(model, known)


@pytest.mark.parametrize("ends", [(0.5, 1.0), (-1.0, -0.5), (0.0, np.inf), (np.nan, 1.0)])
def test_a_range_that_is_none_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="tensor input cannot range from"):
        to_int8_with(exported("digits"), {"input": ends})


@pytest.mark.parametrize("name", names())
def test_weights_alone_decide_like_float_and_take_as_little_room(name: str, tmp_path: Path) -> None:
    fp32, x = exported(name), inputs(name, 100)
    small = to_int8_weights(fp32)
    assert small == to_int8_weights(fp32)
    expected, found = predictor(fp32)(x), predictor(small)(x)
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)
    assert len(small) < 0.5 * len(fp32)
    assert not {"QLinearConv", "QGemm"} & set(optimised_operators(small, tmp_path))
    kinds = [each.data_type for each in onnx.load_from_string(small).graph.initializer if each.dims]
    assert kinds.count(onnx.TensorProto.INT8) == len(heavy(prepared(fp32)))
    assert not [word for word in (b"onnx.infer", b"_int8", b"_scale", b"/tmp", b"node_") if word in small]


def test_a_channel_of_zeros_stays_zero() -> None:
    layer = torch.nn.Linear(64, 3)
    with torch.no_grad():
        layer.weight.select(0, 1).zero_()
        layer.bias.fill_(0.25)
    fp32 = to_onnx(torch.nn.Sequential(torch.nn.Flatten(), layer), (1, 8, 8))
    np.testing.assert_array_equal(predictor(to_int8_weights(fp32))(inputs("digits", 5))[:, 1], 0.25)


def test_values_are_those_of_the_graph_the_input_among_them() -> None:
    fp32, x = exported("digits"), inputs("digits", 3)
    found = values(prepared(fp32), x, ("input", "logits"))
    np.testing.assert_array_equal(found["input"], x)
    np.testing.assert_array_equal(found["logits"], predictor(fp32)(x))


def test_every_method_is_a_sentence() -> None:
    assert all(text.endswith(".") and text.count(".") == 1 for text in METHODS.values())
