from io import BytesIO

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from covey.errors import InputError
from covey.examples import Standardise
from covey_models.evaluation import network_predictor
from covey_models.export import to_onnx
from covey_models.golden import golden
from covey_models.quantise import to_int8
from covey_models.registry import find

SCALE = Standardise(mean=(0.5,), deviation=(0.25,))
RAW = np.random.default_rng(0).uniform(size=(4, 1, 8, 8)).astype(np.float32)


def array(data: bytes) -> NDArray[np.float32]:
    loaded: NDArray[np.float32] = np.load(BytesIO(data), allow_pickle=False)
    return loaded


def test_inputs_are_raw_and_outputs_are_of_scaled_inputs() -> None:
    torch.manual_seed(0)
    network = find("digits").build()
    fp32 = to_onnx(network, (1, 8, 8))
    int8 = to_int8(fp32, SCALE.apply(RAW))
    files = golden(fp32, int8, RAW, SCALE)
    assert files.keys() == {"golden/inputs.npy", "golden/outputs.fp32.npy", "golden/outputs.int8.npy"}
    np.testing.assert_array_equal(array(files["golden/inputs.npy"]), RAW)
    expected = network_predictor(network)(SCALE.apply(RAW))
    np.testing.assert_allclose(array(files["golden/outputs.fp32.npy"]), expected, atol=1e-5)
    np.testing.assert_allclose(array(files["golden/outputs.int8.npy"]), expected, atol=0.2)
    assert golden(fp32, int8, RAW, SCALE) == files
    assert "golden/outputs.int8.npy" not in golden(fp32, None, RAW, SCALE)


@pytest.mark.parametrize("k", [0, 9])
def test_a_package_holds_one_to_eight(k: int) -> None:
    with pytest.raises(InputError, match=f"{k} golden inputs: give 1 to 8"):
        golden(b"", None, np.zeros((k, 1, 8, 8), np.float32), SCALE)
