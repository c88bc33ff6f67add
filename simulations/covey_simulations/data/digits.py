"""Handwritten digits, 8 by 8 pixels, from scikit-learn: small enough for a test.

Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998,
doi:10.24432/C50P49.
"""

from importlib import import_module
from typing import Any, Final

import numpy as np

from covey.errors import DataError
from covey.examples import Examples
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.local import hold_out_last_of_each_class

SIDE: Final = 8
BRIGHTEST: Final = 16
"""Pixels are counts from 0 to 16."""
TEST_SHARE: Final = 4
"""One in so many images of each class is held out."""


def load() -> FederatedData:
    """1,797 images, float32 in 0..1, shape (1, 8, 8), on one pooled device.

    The last quarter of each class, rounded down, is held out: the file is in the order of the writers. Which
    images that is never changes.

    Raises:
        DataError: scikit-learn is not installed.
    """
    pool = hold_out_last_of_each_class(_examples(), TEST_SHARE)
    return FederatedData(
        name="digits",
        licence="CC-BY-4.0",
        citation="Alpaydin and Kaynak, Optical recognition of handwritten digits, 1998, doi:10.24432/C50P49",
        labels=tuple(str(digit) for digit in range(10)),
        input_shape=(1, SIDE, SIDE),
        devices={"pool": pool},
        groups={"pool": "pool"},
        synthetic=False,
    )


def _examples() -> Examples:
    try:
        # Imported here: scikit-learn takes a second, which nobody owes who trains on something else.
        datasets: Any = import_module("sklearn.datasets")
    except ImportError as error:
        raise DataError(
            "the digits come with scikit-learn, which is missing", hint="pip install 'covey[sim]'"
        ) from error
    x, y = datasets.load_digits(return_X_y=True)
    pixels = x.reshape(-1, 1, SIDE, SIDE) / BRIGHTEST
    return Examples(pixels.astype(np.float32), y.astype(np.int64))
