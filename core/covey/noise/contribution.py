"""What one device adds to its answer, and what is taken out of the sum again; see `covey.noise.removal`.

Everything follows from one 32-byte key of the device, drawn for one plan. What a device reveals for removal
is a later link of a one-way chain: it gives the noise that is taken out and nothing of the noise that stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from covey.noise.draw import Mechanism, draw
from covey.noise.removal import chain, key_of
from covey.noise.table import Integers
from covey.secagg.keys import derive


@dataclass(frozen=True)
class Contribution:
    """One device's noise.

    Attributes:
        noise: int64 (length,).
        first: Seed of the first removable component; None if none is removable.
    """

    noise: Integers
    first: bytes | None = field(repr=False)


def contribute(mechanism: Mechanism, variances: Sequence[int], length: int, key: bytes) -> Contribution:
    """Draw a device's noise.

    Args:
        mechanism: Its law.
        variances: Of `covey.plan.noise_shares`: one that stays, then the removable ones.
        length: Elements.
        key: 32 bytes, used for one plan.
    """
    stays, *rest = variances
    noise = draw(mechanism, stays, length, derive(key, b"", "noise-own"))
    if not rest:
        return Contribution(noise, None)
    first = derive(key, b"", "noise-first")
    for variance, each in zip(rest, chain(first, len(rest)), strict=True):
        noise += draw(mechanism, variance, length, key_of(each))
    return Contribution(noise, first)


def due(first: bytes | None, tolerated: int, dropped: int) -> bytes | None:
    """The seed that a survivor reveals: of the noise that `dropped` drop-outs do not need.

    Args:
        first: Of `Contribution`.
        tolerated: T, drop-outs that the noise is made for.
        dropped: |D|, drop-outs.
    """
    return None if first is None or dropped >= tolerated else chain(first, dropped + 1)[dropped]


def removable(
    mechanism: Mechanism, variances: Sequence[int], length: int, *, seed: bytes, dropped: int
) -> Integers:
    """The noise that follows from a revealed seed; what the server takes out.

    Args:
        mechanism: As in `contribute`.
        variances: As in `contribute`.
        length: Elements.
        seed: Of `due`.
        dropped: |D|.
    """
    rest = variances[dropped + 1 :]
    total = np.zeros(length, np.int64)
    for variance, each in zip(rest, chain(seed, len(rest)), strict=True):
        total += draw(mechanism, variance, length, key_of(each))
    return total
