"""Fashion-MNIST: grey images of ten kinds of clothes, from the Debian package dataset-fashion-mnist.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms",
arXiv:1708.07747. MIT licence.
"""

from pathlib import Path
from typing import Final

import numpy as np

from covey.errors import DataError
from covey.examples import Examples, LocalData
from covey_models.zoo.images import LABELS
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.idx import read_idx

FOLDER: Final = Path("/usr/share/datasets/fashion-mnist")
TRAINING: Final = 60_000
TEST: Final = 10_000
SIDE: Final = 28
_HINT: Final = "sudo apt install dataset-fashion-mnist"


def load(folder: Path = FOLDER) -> FederatedData:
    """60,000 training and 10,000 test images, float32 in 0..1, shape (1, 28, 28), on one pooled device.

    Raises:
        DataError: A file is missing or is not what its name says.
    """
    pool = LocalData(train=_part(folder, "train", TRAINING), held_out=_part(folder, "t10k", TEST))
    return FederatedData(
        name="fashion-mnist",
        licence="MIT",
        citation="Xiao, Rasul and Vollgraf, Fashion-MNIST, 2017, arXiv:1708.07747",
        labels=LABELS,
        input_shape=(1, SIDE, SIDE),
        devices={"pool": pool},
        groups={"pool": "pool"},
        synthetic=False,
    )


def _part(folder: Path, name: str, count: int) -> Examples:
    images = read_idx(folder / f"{name}-images-idx3-ubyte.gz", (count, SIDE, SIDE), hint=_HINT)
    path = folder / f"{name}-labels-idx1-ubyte.gz"
    labels = read_idx(path, (count,), hint=_HINT)
    if labels.max() >= len(LABELS):
        raise DataError(f"{path}: label {labels.max()}, expected 0 to {len(LABELS) - 1}", hint=_HINT)
    pixels = images[:, np.newaxis].astype(np.float32)
    pixels /= 255  # in place: the training images take 188 MB
    return Examples(pixels, labels.astype(np.int64))
