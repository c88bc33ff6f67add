"""From the `[data]` table of a federation file to data on devices."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Final, assert_never

import numpy as np

from covey.errors import InputError
from covey_simulations.data import digits, fashion, folder, wrist
from covey_simulations.data.dealing import deal, hold_out_tail, pooled, thin
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.recordings import Split, last_quarter, leave_groups_out, tuning
from covey_simulations.data.resampled import Drawing, resampled
from covey_simulations.data.settings import DEVICES, DataSettings, check

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
    data = _shared_out(_read(settings), settings, rng)
    return replace(data, notes=(*data.notes, *_notes(settings)))


def _shared_out(data: FederatedData, settings: DataSettings, rng: np.random.Generator) -> FederatedData:
    if settings.generated:
        seed = int(rng.integers(2**63))
        drawing = Drawing(settings.devices, settings.examples_per_device, settings.alpha, seed)
        return resampled(data, drawing)
    if settings.partition == "natural":
        return thin(_counted(data, settings.devices), settings.examples, rng)
    return deal(thin(pooled(data), settings.examples, rng), settings, rng)


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


def _counted(data: FederatedData, asked: int) -> FederatedData:
    """Refuse a number of devices that "natural" would silently ignore; the default asks for none."""
    if asked not in {DEVICES, len(data.devices)}:
        raise InputError(
            f"data.devices: {asked}, but {data.name} has {len(data.devices)} devices of its own",
            hint="leave data.devices out, or choose data.partition iid, dirichlet or time",
        )
    return data
