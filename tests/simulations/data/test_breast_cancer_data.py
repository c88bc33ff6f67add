import numpy as np
import pytest

from covey.errors import DataError
from covey_simulations.data import breast_cancer
from covey_simulations.data.federated import FederatedData


@pytest.fixture(scope="module")
def data() -> FederatedData:
    return breast_cancer.load()


def test_shapes_and_classes(data: FederatedData) -> None:
    pool = data.devices["pool"]
    assert pool.train.x.shape[1:] == data.input_shape == (30,)
    assert data.labels == ("malignant", "benign")
    assert np.bincount(pool.train.y).tolist() == [212 - 53, 357 - 89]
    assert np.bincount(pool.held_out.y).tolist() == [53, 89]


def test_every_measurement_spans_the_published_range(data: FederatedData) -> None:
    pool = data.devices["pool"]
    x = np.concatenate([pool.train.x, pool.held_out.x])
    assert x.dtype == np.float32
    assert x.min() == -1
    assert x.max() == 1
    assert (x.min(0) < -0.9).all()
    assert (x.max(0) > 0.9).all()


def test_malignant_nuclei_are_larger(data: FederatedData) -> None:
    train = data.devices["pool"].train
    malignant, benign = (train.x[train.y == label, 0].mean() for label in (0, 1))
    assert malignant > benign + 0.3


def test_a_missing_library_names_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(breast_cancer, "import_module", absent)
    with pytest.raises(DataError, match="scikit-learn"):
        breast_cancer.load()
