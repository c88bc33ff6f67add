"""From a float32 ONNX file to int8."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from covey.errors import InputError
from covey.examples import Floats
from covey_models.canonical import canonical
from covey_models.export import INPUT


def to_int8(fp32: bytes, calibration: Floats) -> bytes:
    """Static quantisation: int8 weights per channel, uint8 activations, in QDQ form; deterministic.

    Activations are unsigned because ONNX Runtime has more kernels for u8 by s8 than for s8 by s8 on x86.
    Weights use seven of their eight bits: processors with AVX2 and no VNNI add two products in 16 bits, which
    eight bits overflow, and a model would decide otherwise there than where it was measured.
    The scale and zero point of each come from its smallest and largest value over the calibration
    inputs (Jacob et al., arXiv:1712.05877).

    Args:
        fp32: What `to_onnx` gives.
        calibration: Scaled inputs, float32 (n, *input_shape), n >= 1, such as the model will meet. They
            shape the file: use public inputs, or say in the card whose they are.

    Returns:
        An ONNX file with the input and output of `fp32`, both float32.

    Raises:
        InputError: No calibration inputs, or not finite.
    """
    if not len(calibration) or not np.isfinite(calibration).all():
        raise InputError("calibration needs at least one input, all finite")
    with tempfile.TemporaryDirectory(prefix="covey-int8-") as folder:
        given, prepared, quantised = (
            Path(folder, name) for name in ("fp32.onnx", "prepared.onnx", "int8.onnx")
        )
        given.write_bytes(fp32)
        # The symbolic half of shape inference is for dynamic shapes; the batch axis is fixed here.
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            _Calibration(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
        )
        return canonical(onnx.load(quantised))


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped
    """Calibration inputs one by one, as onnxruntime asks for them."""

    def __init__(self, inputs: Floats) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        one = next(self._inputs, None)
        return None if one is None else {INPUT: one[None]}
