"""Breast Cancer Wisconsin (Diagnostic): thirty measurements of a sample's cell nuclei, from scikit-learn.

Wolberg, Mangasarian, Street and Street, UCI Machine Learning Repository, 1993, doi:10.24432/C5DW2B,
CC BY 4.0.
"""

from importlib import import_module
from typing import Any, Final

import numpy as np

from covey.errors import DataError
from covey.examples import Examples
from covey_models.zoo.breast_cancer import LABELS, MEASUREMENTS
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.local import hold_out_last_of_each_class

TEST_SHARE: Final = 4
"""One in so many samples of each class is held out."""
RANGES: Final = (
    *((6.981, 28.11), (9.71, 39.28), (43.79, 188.5), (143.5, 2501.0), (0.053, 0.163)),
    *((0.019, 0.345), (0.0, 0.427), (0.0, 0.201), (0.106, 0.304), (0.05, 0.097)),
    *((0.112, 2.873), (0.36, 4.885), (0.757, 21.98), (6.802, 542.2), (0.002, 0.031)),
    *((0.002, 0.135), (0.0, 0.396), (0.0, 0.053), (0.008, 0.079), (0.001, 0.03)),
    *((7.93, 36.04), (12.02, 49.54), (50.41, 251.2), (185.2, 4254.0), (0.071, 0.223)),
    *((0.027, 1.058), (0.0, 1.252), (0.0, 0.291), (0.156, 0.664), (0.055, 0.208)),
)
"""The least and the greatest of each measurement, as the table in the data set's own description has them:
the means, the standard errors, then the worst of radius, texture, perimeter, area, smoothness, compactness,
concavity, concave points, symmetry and fractal dimension."""


def load() -> FederatedData:
    """569 samples, float32 in -1..1 by the published ranges, shape (30,), on one pooled device.

    A quarter of each class, rounded down, is held out; which samples that is never changes.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        datasets: Any = import_module("sklearn.datasets")
    except ImportError as error:
        raise DataError(
            "the samples come with scikit-learn, which is missing", hint="pip install 'covey[sim]'"
        ) from error
    x, y = datasets.load_breast_cancer(return_X_y=True)
    least, greatest = np.array(RANGES).T
    scaled = np.clip((2 * x - least - greatest) / (greatest - least), -1, 1)
    return FederatedData(
        name="breast-cancer",
        licence="CC-BY-4.0",
        citation="Wolberg et al., Breast Cancer Wisconsin (Diagnostic), 1993, doi:10.24432/C5DW2B",
        labels=LABELS,
        input_shape=(MEASUREMENTS,),
        devices={
            "pool": hold_out_last_of_each_class(
                Examples(scaled.astype(np.float32), y.astype(np.int64)), TEST_SHARE
            )
        },
        groups={"pool": "pool"},
        synthetic=False,
    )
