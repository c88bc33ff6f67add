import numpy as np
import torch

from covey.examples import Standardise
from covey_models.evaluation import network_predictor
from covey_models.export import to_onnx
from covey_models.golden import golden
from covey_models.quantise import to_int8
from covey_models.registry import find

SCALE = Standardise(mean=(0.5,), deviation=(0.25,))


def test_inputs_are_raw_and_outputs_are_of_scaled_inputs() -> None:
    torch.manual_seed(0)
    model = find("digits")
    network = model.build()
    fp32 = to_onnx(network, model.input_shape)
    scaled = SCALE.apply(golden(model, {}, SCALE, seed=1).inputs)
    vectors = golden(model, {"fp32": fp32, "int8": to_int8(fp32, scaled)}, SCALE, seed=1)
    expected = network_predictor(network)(SCALE.apply(vectors.inputs))
    np.testing.assert_allclose(vectors.outputs["fp32"], expected, atol=1e-4)
    np.testing.assert_allclose(vectors.outputs["int8"], expected, atol=0.3)


def test_inputs_are_noise_around_the_mean_and_follow_the_seed() -> None:
    model = find("wrist-motion")
    scale = Standardise(mean=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0), deviation=(0.1,) * 6)
    first, again, other = (golden(model, {}, scale, seed).inputs for seed in (1, 1, 2))
    assert first.dtype == np.float32
    assert first.shape == (4, 6, 100)
    np.testing.assert_allclose(first.mean(axis=(0, 2)), scale.mean, atol=0.03)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
