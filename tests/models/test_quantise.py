import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from covey.errors import InputError
from covey.examples import Floats
from covey_models.export import to_onnx
from covey_models.quantise import to_int8
from covey_models.registry import find, names
from covey_models.runtime import predictor


def exported(name: str) -> bytes:
    torch.manual_seed(7)
    return to_onnx(find(name).build(), find(name).input_shape)


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
def test_every_convolution_runs_in_int8_and_decides_alike(name: str, tmp_path: Path) -> None:
    fp32, x = exported(name), inputs(name, 200)
    int8 = to_int8(fp32, inputs(name, 64))
    operators = optimised_operators(int8, tmp_path)
    assert "QLinearConv" in operators
    assert not {"Conv", "FusedConv", "Gemm"} & set(operators)
    agree = predictor(int8)(x).argmax(1) == predictor(fp32)(x).argmax(1)
    assert agree.mean() > (0.85 if name == "wrist-private" else 0.9)  # untrained, on noise: narrow margins
    assert len(int8) < 0.65 * len(fp32)


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
