"""The laws of the noise written a second time, with mpmath and plain lists, to compare the tables with."""

from bisect import bisect_right
from itertools import accumulate
from math import floor

import mpmath  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from covey.noise.table import Table

WHOLE = 1 << 128


def scaled_bessel(variance: int, value: int) -> mpmath.mpf:
    """2^128·exp(-μ)·I_k(μ), to 100 digits."""
    with mpmath.workdps(100):
        return WHOLE * mpmath.exp(-variance) * mpmath.besseli(value, variance)


def scaled_skellam(variance: int, last: int) -> list[mpmath.mpf]:
    """The same for k = 0 .. last, forwards from I_0 and I_1.

    In this direction the error grows as the square of I_0 / I_k, at most 10^400 here: hence 600 digits.
    """
    with mpmath.workdps(600):
        values = [WHOLE * mpmath.exp(-variance) * mpmath.besseli(k, variance) for k in (0, 1)]
        for k in range(1, last):
            values.append(values[-2] - values[-1] * 2 * k / variance)
        return values


def scaled_gaussian(variance: int, last: int) -> list[mpmath.mpf]:
    """2^128·P(X = k) of the discrete Gaussian for k = 0 .. last, to 100 digits."""
    with mpmath.workdps(100):
        half = [mpmath.exp(mpmath.mpf(-(k**2)) / (2 * variance)) for k in range(last + 1)]
        total = 2 * mpmath.fsum(half) - 1
        return [WHOLE * one / total for one in half]


def plain_thresholds(scaled: list[mpmath.mpf]) -> tuple[int, list[int]]:
    """N and the 2N thresholds: every weight rounded down, the centre takes the rest."""
    rounded = [floor(one) for one in scaled]
    largest = max(k for k, weight in enumerate(rounded) if weight)
    half = rounded[1 : largest + 1]
    return largest, list(accumulate([*half[::-1], WHOLE - 2 * sum(half), *half[:-1]]))


def plain_draw(largest: int, thresholds: list[int], key: bytes, length: int) -> list[int]:
    """Inverse-CDF, one coordinate after the other, from the keystream in one piece."""
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(16 * length))
    uniforms = (int.from_bytes(stream[16 * i : 16 * (i + 1)], "little") for i in range(length))
    return [bisect_right(thresholds, uniform) - largest for uniform in uniforms]


def weights(table: Table) -> dict[int, int]:
    """All weights of a table by value."""
    return {value: table.weight(value) for value in range(-table.largest, table.largest + 1)}


def convolved(first: dict[int, int], second: dict[int, int]) -> dict[int, int]:
    """The law of the sum of two independent values, in units of the product of the units."""
    total: dict[int, int] = {}
    for a, p in first.items():
        for b, q in second.items():
            total[a + b] = total.get(a + b, 0) + p * q
    return total


def p_value(statistic: float, freedom: int) -> float:
    """P(χ² with `freedom` degrees > statistic)."""
    return float(mpmath.gammainc(freedom / 2, statistic / 2, mpmath.inf, regularized=True))
