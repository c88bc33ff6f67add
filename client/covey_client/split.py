"""Which of a device's examples are trained on and which are held out, for ever.

For the unit example, validation asks other examples than training, and only the larger of the two costs
counts. That holds only if no example is ever on both sides. A file that applications append to keeps its
order; each stretch of new examples is divided once, its last quarter held out, and the division is durable
before any of it is used.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey.errors import DataError
from covey_io import durable

LEAST_NEW: Final = 8
"""New examples that are worth a division of their own; fewer wait, on neither side."""

Place = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class Stretch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Examples that were divided together.

    Attributes:
        begin: The first.
        cut: The first that is held out.
        end: The first after them.
    """

    begin: Place
    cut: Place
    end: Place


def divided(kept: Sequence[Stretch], examples: int) -> tuple[Stretch, ...]:
    """The stretches of a file that has grown.

    Args:
        kept: Of the file as it was.
        examples: In it now.

    Raises:
        ValueError: There are fewer than before.
    """
    known = kept[-1].end if kept else 0
    if examples < known:
        raise ValueError(f"{examples} examples, {known} were divided")
    if kept and examples - known < LEAST_NEW:
        return tuple(kept)
    return (*kept, Stretch(known, known + (examples - known) * 3 // 4, examples))


def indices(stretches: Sequence[Stretch]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of what is trained on, and of what is held out, in order."""
    trained = [np.arange(each.begin, each.cut) for each in stretches]
    held_out = [np.arange(each.cut, each.end) for each in stretches]
    return np.concatenate(trained, dtype=np.int64), np.concatenate(held_out, dtype=np.int64)


def kept_division(path: Path, data: Path, examples: int) -> tuple[Stretch, ...]:
    """The division of a data file, kept in `path`; new examples are divided, durably, first.

    Args:
        path: Where it is kept, beside what else the device never forgets.
        data: The data file, for errors.
        examples: In it now.

    Raises:
        DataError: The record is damaged, or the file has become shorter: who was held out cannot be told.
    """
    kept: tuple[Stretch, ...] = ()
    if path.exists():
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=tuple[Stretch, ...])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(
                f"{path} is damaged: {error}", hint="put it back, or enrol the device anew"
            ) from error
    try:
        found = divided(kept, examples)
    except ValueError as error:
        raise DataError(
            f"{data}: {error}",
            hint=f"data is only added; for other data remove {path}, and count its cost anew",
        ) from error
    if found != kept:
        durable.make_folder(path.parent)
        durable.replace(path, msgspec.json.encode(found) + b"\n")
    return found
