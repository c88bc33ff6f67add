"""Arrays that anyone may hand over, refused in words that say which rows are wrong and what to do."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covey.errors import DataError
from covey.examples import Examples, Floats, Labels

_NUMBERS: Final = "fiub"
_WHOLE: Final = "iub"
_INPUT_AXES: Final = 2
_FEW: Final = 5
_RENUMBER: Final = (
    "renumber them: names, y = numpy.unique(y, return_inverse=True), with labels=names.astype(str); or name "
    "every class in labels="
)


def inputs(x: ArrayLike, where: str) -> Floats:
    """Inputs of shape (n, *input_shape) in float32, all finite.

    Args:
        x: Real numbers.
        where: What an error calls them.

    Raises:
        DataError: Not numbers, no input axis, or NaN or infinite rows: how many and which comes first.
    """
    array = _array(x, where)
    if array.dtype.kind not in _NUMBERS:
        raise DataError(f"{where}: {array.dtype} of shape {array.shape}, expected numbers")
    if array.ndim < _INPUT_AXES:
        raise DataError(
            f"{where}: shape {array.shape}, expected (n, *input_shape), axis 1 the channels",
            hint="an input of one number has the shape (1,): x.reshape(-1, 1)",
        )
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused below
        found = np.ascontiguousarray(array, np.float32)
    wrong = np.flatnonzero(~np.isfinite(found).reshape(len(found), -1).all(1))
    if len(wrong):
        raise DataError(
            f"{where}: {len(wrong)} of {len(found)} rows hold NaN or infinite numbers, row {wrong[0]} first",
            hint="leave those rows out, or fill the gaps: numpy.isfinite(x) finds them",
        )
    return found


def whole_numbers(y: ArrayLike, where: str) -> Labels:
    """Labels of shape (n,), not below 0.

    Raises:
        DataError: Not whole numbers, or negative ones.
    """
    array = _array(y, where)
    if array.ndim != 1 or array.dtype.kind not in _WHOLE:
        raise DataError(
            f"{where}: {array.dtype} of shape {array.shape}, expected whole numbers of shape (n,)",
            hint=_RENUMBER,
        )
    if len(array) and array.min() < 0:
        raise DataError(f"{where}: labels from {array.min()}, expected 0 and above", hint=_RENUMBER)
    if len(array) and array.max() > np.iinfo(np.int64).max:
        raise DataError(f"{where}: labels up to {array.max()}", hint=_RENUMBER)
    return array.astype(np.int64)


def examples(x: ArrayLike, y: ArrayLike, of: str = "") -> Examples:
    """Inputs and as many labels.

    Args:
        x: See `inputs`; an empty list may stand for no examples.
        y: See `whole_numbers`.
        of: Whose they are, for errors.

    Raises:
        DataError: See there; or there are more of one than of the other.
    """
    where = f"{of}: " if of else ""
    if np.size(y) == 0 and np.size(x) == 0:
        return Examples(np.zeros(np.shape(x), np.float32), np.zeros(0, np.int64))
    found, labels = inputs(x, f"{where}x"), whole_numbers(y, f"{where}y")
    if len(found) != len(labels):
        raise DataError(f"{where}{len(found)} inputs in x and {len(labels)} labels in y")
    return Examples(found, labels)


def class_names(found: Labels, names: Sequence[str] | None) -> tuple[str, ...]:
    """One name per class.

    Args:
        found: Every label that occurs.
        names: Of the classes, those that do not occur too; None: they are called by their numbers.

    Raises:
        DataError: A label without a name; without names, a number that is left out; or one class alone.
    """
    occurring = np.unique(found)
    count = int(occurring[-1]) + 1 if len(occurring) else 0
    if names is None and len(occurring) < count:
        raise DataError(f"y: labels {_listed(occurring)}, expected all of 0 to {count - 1}", hint=_RENUMBER)
    named = tuple(map(str, range(count) if names is None else names))
    if count > len(named):
        raise DataError(
            f"y: labels up to {count - 1}, but {len(named)} names in labels", hint="name every class"
        )
    if len(named) < 2 or len(set(named)) < len(named):  # noqa: PLR2004 - one class decides nothing
        raise DataError(f"labels: {_listed(named)}: expected two or more, all different")
    return named


def _array(values: ArrayLike, where: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(
            f"{where}: its rows differ in shape", hint="pad or cut them to one shape, or leave some out"
        ) from error


def _listed(values: Sequence[Any] | NDArray[Any]) -> str:
    few = ", ".join(map(str, values[:_FEW]))
    return f"{few} and {len(values) - _FEW} more" if len(values) > _FEW else few or "none"
