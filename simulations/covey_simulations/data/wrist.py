"""Wrist motion during seven shoulder exercises: ten subjects, both arms, twenty real devices.

Burns, Leung, Hardisty, Whyne, Henry and McLachlin, "Shoulder physiotherapy exercise recognition: machine
learning the inertial signals from a smartwatch", arXiv:1802.01489. The recordings come with the PyPI package
seglearn 1.2.5 (BSD-3-Clause, by the data's author) as a pickle, which is checked before it is opened.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from covey_simulations.data.carried_file import CarriedFile
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.recordings import Recording, Split, Windowing, local_data

SHA256: Final = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
CODES: Final = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
LABELS: Final = (
    "pendulum",
    "abduction",
    "forward elevation",
    "internal rotation",
    "external rotation",
    "trapezius extension",
    "upright row",
)
CHANNELS: Final = ("ax", "ay", "az", "wx", "wy", "wz")
"""Acceleration in g and angular rate in rad/s along the watch's axes."""
RATE: Final = 50
"""Samples a second."""
SIDES: Final = ("left", "right")
WINDOWING: Final = Windowing(length=2 * RATE, test_hop=RATE)
"""Windows of two seconds; a held-out one every second."""
_PROVIDER: Final = "pip install 'covey[sim]'"
_FILE: Final = CarriedFile(
    "the wrist data", "seglearn", "data/watch_dataset.npy", "seglearn 1.2.5", SHA256, _PROVIDER
)


def load(split: Split, path: Path | None = None) -> FederatedData:
    """The twenty devices, each named after its subject and arm ("s01-left"), windows of shape (6, 100).

    Args:
        split: What of each recording is trained on and what is held out.
        path: The file, where it is not in the seglearn package.

    Raises:
        DataError: The file is missing or is not the one expected.
    """
    recorded = recordings(path)
    return FederatedData(
        name="wrist",
        licence="BSD-3-Clause",
        citation="Burns et al., Shoulder physiotherapy exercise recognition, 2018, arXiv:1802.01489",
        labels=LABELS,
        input_shape=(len(CHANNELS), WINDOWING.length),
        devices=local_data(recorded, split, WINDOWING),
        groups={recording.device: recording.group for recording in recorded},
        synthetic=False,
        notes=("Real devices: ten subjects, a watch on each arm.",),
    )


def recordings(path: Path | None = None) -> tuple[Recording, ...]:
    """The 140 recordings: one per subject, arm and exercise.

    Raises:
        DataError: The file is missing or is not the one expected.
    """
    content = _FILE.read(
        path or packaged_file(),
        told=", and it was not opened",
        again="pip install --force-reinstall seglearn==1.2.5",
    )
    # A pickle runs whatever it says: only these bytes, whose digest was just checked, are ever opened.
    stored: dict[str, Any] = np.load(io.BytesIO(content), allow_pickle=True).item()
    columns = (stored[key] for key in ("X", "subject", "side", "y"))
    return tuple(_recording(*row) for row in zip(*columns, strict=True))


def packaged_file() -> Path:
    """Where the installed seglearn keeps the recordings.

    The package is found, not imported: its import needs pandas, which it does not declare.

    Raises:
        DataError: seglearn is not installed.
    """
    return _FILE.path()


def group(subject: int) -> str:
    """The name of subject 1 to 10."""
    return f"s{subject:02d}"


def groups(subjects: Sequence[int]) -> tuple[str, ...]:
    """The names of several subjects."""
    return tuple(group(subject) for subject in subjects)


def _recording(signal: NDArray[np.float64], subject: int, side: float, label: int) -> Recording:
    """From the file's row: a signal of shape (samples, 6), and side 0 for left, 1 for right."""
    return Recording(
        device=f"{group(subject)}-{SIDES[int(side)]}",
        group=group(subject),
        signal=np.ascontiguousarray(signal.T, np.float32),
        label=int(label),
    )
