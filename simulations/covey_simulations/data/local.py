"""Small operations on what one device holds."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from covey.examples import Examples, LocalData


def joined(parts: Sequence[LocalData]) -> LocalData:
    """All examples of `parts` (not empty) as if one device held them, in order."""
    if len(parts) == 1:
        return parts[0]  # a pooled image set is hundreds of megabytes: no copy
    return LocalData(
        train=Examples.join([part.train for part in parts]),
        held_out=Examples.join([part.held_out for part in parts]),
    )


def hold_out_from(start: Fraction, examples: Examples) -> LocalData:
    """Train on the examples before the fraction `start`, rounded down, and hold out the rest, in order."""
    cut = int(len(examples) * start)
    index = np.arange(len(examples))
    return LocalData(examples.take(index[:cut]), examples.take(index[cut:]))
