"""Small operations on what one device holds."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from covey.examples import Examples, LocalData


def joined(parts: Sequence[LocalData]) -> LocalData:
    """All examples of `parts` (not empty) as if one device held them, in order."""
    return LocalData(together([part.train for part in parts]), together([part.held_out for part in parts]))


def together(parts: list[Examples]) -> Examples:
    """All examples of `parts` (not empty), in order."""
    # a pooled image set is hundreds of megabytes: no copy of one part
    return parts[0] if len(parts) == 1 else Examples.join(parts)


def hold_out_last_of_each_class(examples: Examples, share: int) -> LocalData:
    """Hold out the last of each class in order, one in `share` of them, rounded down."""
    out = np.zeros(len(examples), np.bool_)
    for label in np.unique(examples.y):
        index = np.flatnonzero(examples.y == label)
        out[index[len(index) - len(index) // share :]] = True
    return LocalData(examples.take(np.flatnonzero(~out)), examples.take(np.flatnonzero(out)))


def hold_out_from(start: Fraction, examples: Examples) -> LocalData:
    """Train on the examples before the fraction `start`, rounded down, and hold out the rest, in order."""
    cut = int(len(examples) * start)
    index = np.arange(len(examples))
    return LocalData(examples.take(index[:cut]), examples.take(index[cut:]))
