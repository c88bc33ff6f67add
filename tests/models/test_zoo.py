import numpy as np
import pytest
import torch

from covey_models.check import check
from covey_models.registry import find, names

PARAMETERS = {"digits": 3_818, "image-cnn": 19_178, "keywords": 22_604}


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
