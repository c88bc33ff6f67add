"""From the `[data]` table of a federation file to data on devices."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Final, assert_never

import numpy as np

from covey_simulations.data import digits, fashion, folder, own, wrist
from covey_simulations.data.dealing import hold_out_tail
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.recordings import Split, last_quarter, leave_groups_out, tuning
from covey_simulations.data.remarks import remarks
from covey_simulations.data.settings import DataSettings, check
from covey_simulations.data.sharing import share_out

__all__ = ["FederatedData", "load"]

TUNING_START: Final = Fraction(4, 5)
"""Of the training part. Of a whole whose last quarter is the test part, this is 60 %."""


def load(settings: DataSettings, rng: np.random.Generator) -> FederatedData:
    """Read a data set and share it out.

    Args:
        settings: The `[data]` table.
        rng: Decides which examples are kept and where they go; the source and its split do not depend on it.

    Raises:
        InputError: Settings do not fit together or do not fit the data.
        DataError: The data is missing or is not the one expected.
    """
    check(settings)
    data = share_out(_read(settings), settings, rng)
    noted = [line for line in remarks(data) if line not in data.notes]
    return replace(data, notes=(*data.notes, *noted, *_notes(settings)))


def _read(settings: DataSettings) -> FederatedData:
    if settings.source == "wrist":
        return wrist.load(_split(settings), Path(settings.path) if settings.path else None)
    data = _examples(settings)
    return hold_out_tail(data, TUNING_START) if settings.split == "tuning" else data


def _examples(settings: DataSettings) -> FederatedData:
    """A source that is examples already, with a test part of its own."""
    match settings.source:
        case "fashion-mnist":
            return fashion.load(Path(settings.path or fashion.FOLDER))
        case "folder":
            return folder.load(Path(settings.path))
        case "python":
            return own.load(Path(settings.file), settings)
        case _:
            return digits.load()


def _split(settings: DataSettings) -> Split:
    match settings.split:
        case "last-quarter":
            return last_quarter
        case "tuning":
            return tuning
        case "leave-subjects-out":
            return leave_groups_out(wrist.groups(settings.held_out_subjects))
        case _:
            assert_never(settings.split)


def _notes(settings: DataSettings) -> tuple[str, ...]:
    if settings.examples is None:
        return (_held_out(settings),)
    return (_held_out(settings), f"At most {settings.examples} training examples.")


def _held_out(settings: DataSettings) -> str:
    recorded = settings.source == "wrist"
    match settings.split:
        case "last-quarter":
            return f"Held out: {'the last quarter of each recording' if recorded else 'the test part'}."
        case "tuning":
            part = "each recording from 60 % to 75 %" if recorded else "the last fifth of the training part"
            return f"Held out for tuning: {part}. The test part was not used."
        case "leave-subjects-out":
            return f"Never trained on: subjects {', '.join(wrist.groups(settings.held_out_subjects))}."
        case _:
            assert_never(settings.split)
