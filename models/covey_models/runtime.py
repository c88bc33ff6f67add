"""Runs an ONNX file on this machine, as a device would."""

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from covey.examples import Floats
from covey_models.evaluation import Predict
from covey_models.export import INPUT, OUTPUT

ERRORS_ONLY = 3


def predictor(model: bytes) -> Predict:
    """A function of scaled inputs (n, *input_shape) that gives logits (n, classes), one input at a time.

    One thread: the order of additions, and so the last bits of a logit, depend on the number of threads.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict(x: Floats) -> NDArray[np.float32]:
        return np.concatenate([session.run([OUTPUT], {INPUT: one[None]})[0] for one in x])

    return predict
