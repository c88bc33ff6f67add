"""The discrete Gaussian: P(X = k) proportional to exp(-k²/(2v)) on the integers, v its variance parameter.

Source: Canonne, Kamath, Steinke, NeurIPS 2020, arXiv 2004.00010, definition 1. Its variance is at most v, and
equal to v to many digits from v = 1 on. A sum of discrete Gaussians is only close to one.
"""

from functools import lru_cache
from typing import Final

from covey.noise.table import Table, reach, tabulate

_BITS: Final = 256
_ONE: Final = 1 << _BITS


# A pure function of public numbers: every round of a run draws from the same few tables.
@lru_cache(maxsize=64)
def discrete_gaussian(variance: int) -> Table:
    """The table of the discrete Gaussian of parameter v = `variance`; always 0 for 0.

    Raises:
        InputError: A negative variance or one above 2^26.
    """
    return tabulate(_gaussian(variance, reach(variance)) if variance else [1])


def _gaussian(variance: int, last: int) -> list[int]:
    """2^256·exp(-k²/(2v)) for k = 0 .. last, each off by less than last²·2^7.

    From k to k+1 the factor is exp(-(2k+1)/(2v)), which itself changes by the factor exp(-1/v).
    """
    factor = _exp_minus_inverse(2 * variance)
    step = factor * factor >> _BITS
    values = [_ONE]
    for _ in range(last):
        values.append(values[-1] * factor >> _BITS)
        factor = factor * step >> _BITS
    return values


def _exp_minus_inverse(denominator: int) -> int:
    """2^256·exp(-1/denominator) by its Taylor series, off by less than the number of terms."""
    total, term, index = 0, _ONE, 0
    while term:
        total += -term if index % 2 else term
        index += 1
        term //= denominator * index
    return total
