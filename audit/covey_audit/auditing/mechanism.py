"""The mechanism of one plan: what its cost is computed from. The plans of a run repeat their numbers."""

from dataclasses import replace
from functools import lru_cache

from covey.accounting import Event, Norms, added_by_sampler, rounded_norms
from covey.plan import Plan
from covey.planner.design import SAMPLER_TV
from covey.spending import Asked, Ended, View, event


def numbers(plan: Plan) -> Asked:
    """What its cost is computed from, without what tells one sum from another of the same numbers.

    Raises:
        InputError: No formula takes them; names the number.
    """
    asked = replace(Asked.of(plan), run="", sum=0, cohort_number=0)
    norms(asked)
    if asked.noise is not None:
        mechanism(asked, None, "server")
        added_to_delta(0.0, draws(asked), asked.length, 1)
    return asked


@lru_cache(maxsize=1 << 12)  # a pure function, as those below
def mechanism(asked: Asked, end: Ended | None, view: View) -> Event:
    """`covey.spending.event`."""
    return event(asked, end, view)


@lru_cache(maxsize=1 << 12)
def norms(asked: Asked) -> Norms:
    """D1 and D2 of a row."""
    return rounded_norms(asked.norm, asked.length)


@lru_cache(maxsize=1 << 12)
def line(made: Event) -> tuple[float, float]:
    """Rho and ξ of the straight line that is lower at order 2."""
    lowest = min(made.zcdp(), key=lambda each: each.renyi(2))
    return lowest.rho, lowest.xi


def draws(asked: Asked) -> int:
    """Noise vectors that devices draw for it, at most: each of them every part of its noise."""
    removable = asked.cohort - asked.minimum if asked.noise is not None and asked.noise.removal else 0
    return asked.cohort * (1 + removable)


@lru_cache(maxsize=1 << 12)
def added_to_delta(epsilon: float, vectors: int, length: int, sums: int) -> float:
    """What the tables of the noise add to δ in some sums of one shape."""
    return added_by_sampler(epsilon, contributors=vectors, length=length, rounds=sums, tv=SAMPLER_TV)
