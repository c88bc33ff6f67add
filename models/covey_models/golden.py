"""Golden vectors: inputs and the outputs a device's self-test must reproduce."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from covey.errors import InputError
from covey.examples import Floats, Standardise
from covey_models.runtime import predictor

MOST = 8  # a self-test takes milliseconds and the package stays small

INPUTS = "golden/inputs.npy"
OUTPUTS_FP32 = "golden/outputs.fp32.npy"
OUTPUTS_INT8 = "golden/outputs.int8.npy"


def golden(fp32: bytes, int8: bytes | None, inputs: Floats, preprocessing: Standardise) -> dict[str, bytes]:
    """Files of the package, as .npy bytes by path.

    The outputs are what ONNX Runtime gives on this machine. Other processors add in another order, and
    int8 kernels may differ by a step of the scale: compare with a tolerance.

    Args:
        fp32: What `to_onnx` gives.
        int8: What `to_int8` gives, or None.
        inputs: In the data's own units, float32 (k, *input_shape), 1 <= k <= 8. They are published: take
            none from a device.
        preprocessing: What scales an input before the model sees it.

    Returns:
        Raw inputs (k, *input_shape) and, for each variant, logits float32 (k, classes).

    Raises:
        InputError: No inputs, or more than 8.
    """
    if not 1 <= len(inputs) <= MOST:
        raise InputError(f"{len(inputs)} golden inputs: give 1 to {MOST}")
    raw = np.ascontiguousarray(inputs, np.float32)
    scaled = preprocessing.apply(raw)
    files = {INPUTS: _npy(raw), OUTPUTS_FP32: _npy(predictor(fp32)(scaled))}
    if int8 is not None:
        files[OUTPUTS_INT8] = _npy(predictor(int8)(scaled))
    return files


def _npy(array: NDArray[np.float32]) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
