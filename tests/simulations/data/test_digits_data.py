import numpy as np
import pytest

from covey.errors import DataError
from covey_simulations.data import digits
from covey_simulations.data.federated import FederatedData


@pytest.fixture(scope="module")
def data() -> FederatedData:
    return digits.load()


def test_shapes_and_range(data: FederatedData) -> None:
    pool = data.devices["pool"]
    assert len(pool.train) + len(pool.held_out) == 1797
    assert pool.train.x.shape[1:] == data.input_shape == (1, 8, 8)
    assert pool.train.x.dtype == np.float32
    assert (pool.train.x.min(), pool.train.x.max()) == (0, 1)


def test_a_quarter_of_each_class_is_held_out(data: FederatedData) -> None:
    pool = data.devices["pool"]
    train, test = np.bincount(pool.train.y), np.bincount(pool.held_out.y)
    assert (test == (train + test) // 4).all()


def test_the_test_part_is_fixed(data: FederatedData) -> None:
    again = digits.load().devices["pool"]
    assert np.array_equal(again.held_out.x, data.devices["pool"].held_out.x)


def test_a_missing_library_names_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(digits, "import_module", absent)
    with pytest.raises(DataError, match="scikit-learn") as refused:
        digits.load()
    assert refused.value.hint == "pip install 'covey[sim]'"
