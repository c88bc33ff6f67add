"""Noise by the name of its mechanism."""

from typing import Literal, assert_never

from covey.noise.discrete_gaussian import discrete_gaussian
from covey.noise.skellam import skellam
from covey.noise.table import Integers, Table
from covey.stream import Stream

Mechanism = Literal["skellam", "discrete-gaussian"]


def table(mechanism: Mechanism, variance: int) -> Table:
    """The law of one coordinate's noise; its `tv` enters the accounting.

    Raises:
        InputError: A negative variance or one above 2^26.
    """
    match mechanism:
        case "skellam":
            return skellam(variance)
        case "discrete-gaussian":
            return discrete_gaussian(variance)
        case _ as never:
            assert_never(never)


def draw(mechanism: Mechanism, variance: int, length: int, key: bytes) -> Integers:
    """Noise in integer units, shape (length,), values within ± the table's `largest`.

    Args:
        mechanism: Its name.
        variance: Of one coordinate (for the discrete Gaussian its parameter σ²), 0 .. 2^26.
        length: Number of coordinates.
        key: 32 bytes, uniformly random, used for this draw only: the same key draws the same noise.

    Raises:
        InputError: A variance out of range.
        ValueError: Not 32 bytes of key, or a negative length.
    """
    return table(mechanism, variance).draw(Stream(key), length)
