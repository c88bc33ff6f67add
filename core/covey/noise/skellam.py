"""The Skellam law: the difference of two independent Poissons of mean μ/2 each.

P(X = k) = exp(-μ)·I_k(μ), I_k the modified Bessel function; mean 0, variance μ.
Source: Agarwal, Kairouz, Liu, NeurIPS 2021, arXiv 2110.04995.
"""

from functools import lru_cache
from typing import Final

from covey.noise.table import Table, reach, tabulate

_START: Final = 1 << 64


# A pure function of public numbers: every round of a run draws from the same few tables.
@lru_cache(maxsize=64)
def skellam(variance: int) -> Table:
    """The table of the Skellam law of total variance μ = `variance`; always 0 for variance 0.

    Raises:
        InputError: A negative variance or one above 2^26.
    """
    return tabulate(bessel(variance, reach(variance)) if variance else [1])


def bessel(argument: int, last: int) -> list[int]:
    """Integers proportional to I_0(x) .. I_last(x), for x = `argument` ≥ 1.

    Miller's backward recurrence I_{k-1} = I_{k+1} + (2k/x)·I_k from I_{last+1} = 0 (DLMF §10.74(iv)). The
    unwanted solution dies out in this direction. What the start leaves of it, as a share of the whole sum,
    is below the share of I_last itself; what rounding adds is below last / sum.
    """
    values = [0, _START]
    for order in range(last, 0, -1):
        values.append(values[-2] + 2 * order * values[-1] // argument)
    return values[:0:-1]
