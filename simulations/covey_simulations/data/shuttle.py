"""Sensor readings of a space shuttle, a few of them anomalies: Statlog (Shuttle), as river carries it.

49,097 rows of nine whole numbers; the commonest of the original's seven classes is normal, the rare ones are
anomalies, the second commonest was left out (as in the ODDS benchmark). UCI Machine Learning Repository,
doi:10.24432/C5WS31, CC BY 4.0; the package river, BSD-3-Clause, keeps it in `river/datasets/shuttle.csv.gz`.
"""

import gzip
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np

from covey.examples import Examples
from covey_models.zoo.shuttle import LABELS, READINGS
from covey_simulations.data.carried_file import CarriedFile
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.local import hold_out_from

SHA256: Final = "1ed4bfa77233d95bff2c8ab2482725d2d800410daedf5919ad80ec6faf60ff59"
TRAINING: Final = Fraction(3, 4)
_PROVIDER: Final = "pip install 'river>=0.26.1,<0.27', or give its datasets/shuttle.csv.gz as data.path"
_FILE: Final = CarriedFile(
    "the shuttle data", "river", "datasets/shuttle.csv.gz", "river 0.26.1", SHA256, _PROVIDER
)


def load(path: Path | None = None) -> FederatedData:
    """36,822 training and 12,275 test rows, float32, shape (9,), on one pooled device.

    The readings reach from single digits to tens of thousands: each x becomes sign(x) log(1 + |x|), which
    nobody needs to see the data for. Rows come in no order, so the last quarter of the file is held out.

    Args:
        path: The file, where it is not in the river package.

    Raises:
        DataError: The file is missing or is not the one expected.
    """
    rows = np.loadtxt(
        gzip.decompress(_FILE.read(path or packaged_file())).decode().splitlines()[1:], delimiter=","
    )
    readings = np.sign(rows[:, :READINGS]) * np.log1p(np.abs(rows[:, :READINGS]))
    examples = Examples(readings.astype(np.float32), rows[:, READINGS].astype(np.int64))
    return FederatedData(
        name="shuttle",
        licence="CC-BY-4.0",
        citation="Statlog (Shuttle), UCI Machine Learning Repository, doi:10.24432/C5WS31",
        labels=LABELS,
        input_shape=(READINGS,),
        devices={"pool": hold_out_from(TRAINING, examples)},
        groups={"pool": "pool"},
        synthetic=False,
    )


def packaged_file() -> Path:
    """Where the installed river keeps the rows. The package is found, not imported.

    Raises:
        DataError: river is not installed.
    """
    return _FILE.path()
