import numpy as np
import pytest
import torch

from covey_models.check import check
from covey_models.registry import find, names
from covey_models.zoo.wrist_private import SPREAD, constants

PARAMETERS = {
    "breast-cancer": 530,
    "digits": 3_818,
    "digits-mlp": 4_810,
    "digits-transformer": 8_722,
    "image-cnn": 19_178,
    "keywords": 22_604,
    "shuttle": 882,
    "wrist-private": 1_799,
}

FREQUENCY = (-2.285661, -1.905564, 0.030030, 0.271052, -0.458869, -0.230333)
PHASES = (3.540231, 0.999918, 0.660911)


@pytest.mark.parametrize("name", names())
def test_every_model_passes_the_check(name: str) -> None:
    check(find(name))


@pytest.mark.parametrize(("name", "expected"), PARAMETERS.items())
def test_sizes_are_those_of_the_docstrings(name: str, expected: int) -> None:
    assert sum(weight.numel() for weight in find(name).build().parameters()) == expected


def test_the_wrist_model_fits_a_small_device() -> None:
    assert sum(weight.numel() for weight in find("wrist-motion").build().parameters()) <= 5_000


@pytest.mark.parametrize("name", names())
def test_outputs_start_at_a_trainable_scale(name: str) -> None:
    model = find(name)
    torch.manual_seed(1)
    with torch.no_grad():
        logits = model.build()(torch.randn(64, *model.input_shape))
    assert 0.05 < float(logits.std()) < 5


@pytest.mark.parametrize("name", names())
def test_building_is_decided_by_the_seed(name: str) -> None:
    model = find(name)
    built = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        built.append(
            np.concatenate([weight.detach().numpy().ravel() for weight in model.build().parameters()])
        )
    np.testing.assert_array_equal(built[0], built[1])
    assert not np.array_equal(built[0], built[2])


def test_fixed_features_are_constants_that_every_machine_makes_alike() -> None:
    frequencies, phases = constants()
    assert frequencies.shape == (256, 6, 1, 1)
    np.testing.assert_allclose(frequencies[0, :, 0, 0], FREQUENCY, atol=1e-6)
    np.testing.assert_allclose(phases[:3], PHASES, atol=1e-6)
    deviation = frequencies.std((0, 2, 3)).numpy()
    np.testing.assert_allclose(deviation, SPREAD, rtol=0.15)


def test_fixed_features_ignore_the_order_of_samples() -> None:
    network = find("wrist-private").build()
    x = torch.randn(4, 6, 100, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        np.testing.assert_allclose(network(x.flip(2)), network(x), atol=1e-5)
