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


def hold_out_from(start: Fraction, examples: Examples) -> LocalData:
    """Train on the examples before the fraction `start`, rounded down, and hold out the rest, in order."""
    cut = int(len(examples) * start)
    index = np.arange(len(examples))
    return LocalData(examples.take(index[:cut]), examples.take(index[cut:]))
