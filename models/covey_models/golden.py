"""Golden vectors: inputs and the outputs that a device's self-test must reproduce.

The outputs are what ONNX Runtime gives on this machine. Other processors add in another order, and int8
kernels may differ by a step of the scale: compare with a tolerance.
"""

from collections.abc import Mapping

import numpy as np

from covey.examples import Floats, Standardise
from covey.package.contents import Golden, Variant
from covey.seeds import generator
from covey_models.model import Model
from covey_models.runtime import predictor

COUNT = 4  # a self-test takes milliseconds and the package stays small


def golden(model: Model, variants: Mapping[Variant, bytes], preprocessing: Standardise, seed: int) -> Golden:
    """Inputs and each variant's logits.

    The inputs are published, so none comes from a device: they are normal noise with the fleet's mean and
    deviation per channel.

    Args:
        model: For the shape of an input.
        variants: ONNX files.
        preprocessing: What scales an input before the model sees it.
        seed: Decides the noise.
    """
    noise = generator(seed, "golden").standard_normal((COUNT, *model.input_shape))
    inputs = _unscaled(noise.astype(np.float32), preprocessing)
    scaled = preprocessing.apply(inputs)
    return Golden(inputs, {variant: predictor(data)(scaled) for variant, data in variants.items()})


def _unscaled(x: Floats, preprocessing: Standardise) -> Floats:
    """The raw inputs that `preprocessing` turns into `x`."""
    shape = (1, len(preprocessing.mean)) + (1,) * (x.ndim - 2)
    deviation = np.asarray(preprocessing.deviation, np.float32).reshape(shape)
    raw: Floats = x * deviation + np.asarray(preprocessing.mean, np.float32).reshape(shape)
    return raw
