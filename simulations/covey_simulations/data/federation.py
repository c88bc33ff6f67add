"""From the `[data]` table of a federation file to data on devices."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Final, assert_never

import numpy as np

from covey_simulations.data import (
    breast_cancer,
    digits,
    fashion,
    folder,
    keywords,
    own,
    shuttle,
    wrist,
)
from covey_simulations.data.dealing import hold_out_groups, hold_out_tail
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
        return wrist.load(_split(settings), _path(settings))
    data = _examples(settings)
    match settings.split:
        case "last-quarter":
            return data
        case "tuning":
            return hold_out_tail(data, TUNING_START)
        case "leave-subjects-out":
            return hold_out_groups(data, _held_out_groups(settings))
        case _:
            assert_never(settings.split)


def _examples(settings: DataSettings) -> FederatedData:
    """A source that is examples already, with a test part of its own."""
    path = _path(settings)
    read: Mapping[str, Callable[[], FederatedData]] = {
        "fashion-mnist": lambda: fashion.load(path or fashion.FOLDER),
        "digits": digits.load,
        "synthetic-digits": digits.load,
        "synthetic-keywords": lambda: keywords.load(path),
        "breast-cancer": breast_cancer.load,
        "shuttle": lambda: shuttle.load(path),
        "folder": lambda: folder.load(Path(settings.path)),
        "python": lambda: own.load(Path(settings.file), settings),
    }
    return read[settings.source]()


def _path(settings: DataSettings) -> Path | None:
    return Path(settings.path) if settings.path else None


def _held_out_groups(settings: DataSettings) -> tuple[str, ...]:
    of = keywords.group if settings.source == "synthetic-keywords" else wrist.group
    return tuple(map(of, settings.held_out_subjects))


def _split(settings: DataSettings) -> Split:
    match settings.split:
        case "last-quarter":
            return last_quarter
        case "tuning":
            return tuning
        case "leave-subjects-out":
            return leave_groups_out(_held_out_groups(settings))
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
            return f"Never trained on: subjects {', '.join(_held_out_groups(settings))}."
        case _:
            assert_never(settings.split)
