"""What an imperfect sampler costs.

A table of the noise is at a total variation distance `tv` from the true law. Replacing each of h·d·T draws
by its table moves the output by at most that much in total variation, in both neighbours' worlds.
"""

from math import exp, inf

from covey.accounting import checks
from covey.accounting.composition import MOST_SUMS
from covey.accounting.events import MOST_CONTRIBUTORS
from covey.accounting.norms import MOST_LENGTH

_LARGEST_EXPONENT = 700.0


def added_by_sampler(epsilon: float, *, contributors: int, length: int, rounds: int, tv: float) -> float:
    """δ' - δ = (1 + e^ε)·h·d·T·tv, at most 1.

    Args:
        epsilon: ε of the exact mechanism.
        contributors: h, devices whose noise the claim rests on.
        length: d, draws a device makes for one sum.
        rounds: T, sums.
        tv: Total variation distance of one draw from the true law.

    Raises:
        InputError: A number is unusable.
    """
    checks.within("epsilon", epsilon, 0.0, inf)
    checks.whole("contributors", contributors, 0, MOST_CONTRIBUTORS)
    checks.whole("length", length, 0, MOST_LENGTH)
    checks.whole("rounds", rounds, 0, MOST_SUMS)
    checks.within("tv", tv, 0.0, 1.0)
    growth = exp(epsilon) if epsilon < _LARGEST_EXPONENT else inf
    draws = contributors * length * rounds
    return min(1.0, (1 + growth) * draws * tv) if draws and tv else 0.0


def delta_of_sampler(  # noqa: PLR0913 - the formula's symbols
    delta: float, epsilon: float, *, contributors: int, length: int, rounds: int, tv: float
) -> float:
    """δ' of a run whose noise is drawn from tables: δ and what `added_by_sampler` says, at most 1.

    Raises:
        InputError: A number is unusable.
    """
    checks.delta(delta)
    added = added_by_sampler(epsilon, contributors=contributors, length=length, rounds=rounds, tv=tv)
    return min(1.0, delta + added)
