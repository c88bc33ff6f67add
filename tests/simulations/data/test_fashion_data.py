import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from covey.errors import DataError
from covey_simulations.data import fashion
from covey_simulations.data.federated import FederatedData

REASON = "needs the Debian package dataset-fashion-mnist"


@pytest.fixture(scope="module")
def data() -> FederatedData:
    if not fashion.FOLDER.is_dir():
        pytest.skip(REASON)
    return fashion.load()


def test_shapes_and_range(data: FederatedData) -> None:
    pool = data.devices["pool"]
    assert pool.train.x.shape == (60_000, 1, 28, 28)
    assert pool.held_out.x.shape == (10_000, 1, 28, 28)
    assert pool.train.x.dtype == np.float32
    assert (pool.train.x.min(), pool.train.x.max()) == (0, 1)


def test_classes_are_balanced(data: FederatedData) -> None:
    pool = data.devices["pool"]
    assert np.bincount(pool.train.y).tolist() == [6_000] * 10
    assert np.bincount(pool.held_out.y).tolist() == [1_000] * 10
    assert len(data.labels) == 10


def test_the_labels_are_the_images(data: FederatedData) -> None:
    """Trousers are narrow: dark at the sides and bright in the middle. Bags fill the frame."""
    train = data.devices["pool"].train
    trouser, bag = (train.x[train.y == data.labels.index(name), 0].mean(0) for name in ("trouser", "bag"))
    assert trouser[:, :7].mean() < 0.05 < trouser[:, 10:18].mean()
    assert bag[14:, :7].mean() > 0.2


def test_a_missing_package_names_what_brings_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz") as refused:
        fashion.load(tmp_path)
    assert refused.value.hint == "sudo apt install dataset-fashion-mnist"


def test_a_label_out_of_range_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion, "TRAINING", 1)
    images = struct.pack(">HBB3I", 0, 8, 3, 1, 28, 28) + bytes(28 * 28)
    labels = struct.pack(">HBBI", 0, 8, 1, 1) + bytes([10])
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: label 10, expected 0 to 9"):
        fashion.load(tmp_path)
