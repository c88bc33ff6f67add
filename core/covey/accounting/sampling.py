"""What a secret coin for each example saves.

An example takes part in a sum if a coin with probability q says so, tossed on its device and shown to nobody.
The Rényi divergence of order a then falls from ε(a) to

    ε'(a) = 1/(a-1) · ln Σ_{l=0..a} C(a,l) (1-q)^(a-l) q^l e^((l-1) ε(l)),   ε(0) = ε(1) = 0

(Mironov, Talwar, Zhang, arXiv:1908.10530, section 3.3, for any mechanism with bounds ε(l); adding an example
and removing one are covered alike because the noise is symmetric; cf. Steinke, arXiv:2210.00597.)
"""

from collections.abc import Sequence
from functools import lru_cache
from math import comb, log, log1p

import numpy as np
from numpy.typing import NDArray

from covey.accounting.zcdp import Zcdp


def amplified(rate: float, order: int, bounds: Sequence[Zcdp]) -> float:
    """ε'(a), or ε(a) where that is less.

    Since the binomial weights add up to 1 and the terms l = 0, 1 have e^0, the sum is 1 + Σ_{l≥2} of
    weight · (e^((l-1) ε(l)) - 1): all terms positive, so nothing cancels however small q is.

    Args:
        rate: q, the probability of one example, 0 < q ≤ 1.
        order: a, an integer ≥ 2.
        bounds: ε(l) is the least of these.
    """
    whole = min(bound.renyi(order) for bound in bounds)
    if rate == 1:
        return whole
    hits = np.arange(2, order + 1)
    renyi = np.min([bound.xi + bound.rho * hits for bound in bounds], axis=0)
    terms = _log_binomials(order) + (order - hits) * log1p(-rate) + hits * log(rate)
    terms += _log_expm1((hits - 1) * renyi)
    largest = float(terms.max())
    excess = largest + log(float(np.exp(terms - largest).sum()))
    return min(float(np.logaddexp(0.0, excess)) / (order - 1), whole)


def _log_expm1(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln(e^x - 1) for x > 0, without overflow and without cancellation."""
    return values + np.log(-np.expm1(-values))


@lru_cache(maxsize=512)  # a pure function: 70 orders, asked again for every sum that is planned
def _log_binomials(order: int) -> NDArray[np.float64]:
    """The values ln C(order, l) for l = 2..order."""
    logs = np.array([log(comb(order, hits)) for hits in range(2, order + 1)])
    logs.setflags(write=False)
    return logs
