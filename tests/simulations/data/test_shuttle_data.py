import gzip
from pathlib import Path

import numpy as np
import pytest

from covey.errors import DataError
from covey_simulations.data import carried_file, shuttle
from covey_simulations.data.federated import FederatedData


@pytest.fixture(scope="module")
def data() -> FederatedData:
    return shuttle.load()


def test_shapes_and_share_of_anomalies(data: FederatedData) -> None:
    pool = data.devices["pool"]
    assert (len(pool.train), len(pool.held_out)) == (36_822, 12_275)
    assert pool.train.x.shape[1:] == data.input_shape == (9,)
    assert pool.train.x.dtype == np.float32
    for part in (pool.train, pool.held_out):
        assert 0.069 < part.y.mean() < 0.074
    assert data.labels == ("normal", "anomaly")


def test_readings_are_within_the_models_bound(data: FederatedData) -> None:
    x = data.devices["pool"].train.x
    assert 8 < np.abs(x).max() < 16


def test_the_first_row_of_the_file_is_an_anomaly(data: FederatedData) -> None:
    train = data.devices["pool"].train
    row = np.array([50, 21, 77, 0, 28, 0, 27, 48, 22])
    np.testing.assert_allclose(train.x[0], np.log1p(row), rtol=1e-6)
    assert train.y[0] == 1


def test_a_missing_package_names_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried_file, "find_spec", lambda _: None)
    with pytest.raises(DataError, match="the package river, which is missing") as refused:
        shuttle.load()
    assert "data.path" in refused.value.hint


def test_another_file_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "shuttle.csv.gz"
    with pytest.raises(DataError, match=r"shuttle\.csv\.gz: cannot be read: No such file"):
        shuttle.load(path)
    path.write_bytes(gzip.compress(b"f1,anomaly\n1,0\n"))
    with pytest.raises(DataError, match="its SHA-256 differs"):
        shuttle.load(path)
