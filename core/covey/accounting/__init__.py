"""What a run of private sums reveals at most, as (ε, δ) differential privacy.

    norms        how far one unit of privacy can move an integer vector, after randomised rounding
    zcdp         straight-line Rényi bounds, and from them to (ε, δ)
    events       one private sum as frozen data: the mechanism, its noise, its formulas
    sampling     what tossing a coin for each example saves
    composition  many sums to one ε
    sampler      what an imperfect table of the noise adds to δ
    matrix       Gaussian noise that a trusted server adds, alone or correlated over rounds
clipping     one noise budget shared by an update and its clip indicator
    rounding     to decimals without ever claiming too much

A claim is always stated for a unit of privacy and a neighbouring relation. For the unit *device*, two runs
are neighbours if one device's whole vector is replaced by zeros in every round (who took part is public). For
the unit *example*, if one training example is added or removed; examples must not overlap. The formulas are
the same for both; sensitivity, sampling and composition differ, and the two are never added.

Only honest contributors' noise counts: variances here are what remains after drop-outs, without the noise of
devices that the server may control.
"""

from covey.accounting.clipping import AdaptiveClipping, adaptive_clipping
from covey.accounting.composition import Epsilon, epsilon, multiplier_equivalent
from covey.accounting.events import DiscreteGaussian, Event, Skellam
from covey.accounting.matrix import MatrixGaussian
from covey.accounting.norms import Norms, rounded_norms
from covey.accounting.rounding import round_down, round_up
from covey.accounting.sampler import added_by_sampler, delta_of_sampler
from covey.accounting.zcdp import ORDERS, Zcdp, rho_cap

__all__ = [
    "ORDERS",
    "AdaptiveClipping",
    "DiscreteGaussian",
    "Epsilon",
    "Event",
    "MatrixGaussian",
    "Norms",
    "Skellam",
    "Zcdp",
    "adaptive_clipping",
    "added_by_sampler",
    "delta_of_sampler",
    "epsilon",
    "multiplier_equivalent",
    "rho_cap",
    "round_down",
    "round_up",
    "rounded_norms",
]
