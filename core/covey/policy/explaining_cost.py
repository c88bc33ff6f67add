"""What answers cost, and what the numbers say to a person, in words."""

from collections.abc import Iterator
from fractions import Fraction
from math import exp
from typing import Final

from covey.accounting import round_up
from covey.plan import Unit
from covey.policy.terms import Policy, Query, QueryKind, exact
from covey.policy.wording import up
from covey.policy.worst import Worst

LARGEST_FACTOR: Final = 20.0
"""Above this ε the factor e^ε is in the hundreds of millions: no number helps a reader."""
NEARLY_SURE, SURE = Fraction("0.99"), Fraction("0.9999")
"""Chances of a right guess from which on a number alone would sound like protection."""

_HIDDEN: Final[dict[Unit, str]] = {
    "device": (
        "What is hidden is one device: everything that it ever contributes. A device is a person only if"
        " each person has one device; someone with two has less protection than these numbers say."
    ),
    "example": (
        "What is hidden is one training example (of a sensor, one stretch of signal that overlaps no other)."
        " A person gives many examples: for all of them together these numbers promise far less, and"
        " possibly nothing."
    ),
}


def cost_points(policy: Policy, cost: Worst) -> Iterator[str]:
    """The cap that devices enforce and, beside it, what the noise alone would allow.

    Args:
        policy: As read.
        cost: Its `covey.policy.worst.worst`.
    """
    budget = policy.budget
    yield (
        f"The cap: epsilon {budget.epsilon} at delta {budget.delta}, for one {budget.unit}, over a device's"
        " whole life. Each device adds up what it has answered and refuses the answer that would pass the"
        " cap. This is the promise."
    )
    if not policy.queries:
        yield "Nothing may be asked, so nothing is added to what was answered before."
        return
    yield (
        "Beside it, by the noise alone: if every permitted answer were given, epsilon would be about"
        f" {up(cost.together)} at the same delta. {_against_cap(cost.together, exact(budget.epsilon))}"
        " (Closed form for Gaussian noise; devices also count what rounding and their kind of noise add,"
        " which is a little more. Answers under earlier policies come on top.)"
    )
    for kind, query in policy.queries.items():
        yield _share(kind, query, cost)
    if len(policy.queries) > 1:
        yield _composition(policy)


def _against_cap(together: float, cap: Fraction) -> str:
    if together <= cap:
        return "That is within the cap: the permitted answers run out first."
    return "That is more than the cap: devices stop answering before all permitted answers are given."


def _share(kind: QueryKind, query: Query, cost: Worst) -> str:
    room = cost.affordable[kind]
    told = (
        f"{kind}: one answer costs about {up(cost.one[kind])}, all {query.answers:,} about"
        f" {up(cost.alone[kind])}"
    )
    if room < query.answers:
        return f"{told}; if nothing else is asked, the cap leaves room for about {room:,}."
    return f"{told}."


def _composition(policy: Policy) -> str:
    if policy.budget.unit == "example" and "validate" in policy.queries:
        return (
            "Validation uses other examples than the rest: for one example the larger of the two costs"
            " counts. Everything else adds up."
        )
    return f"All kinds add up: they touch the same {policy.budget.unit}."


def meaning_points(policy: Policy) -> Iterator[str]:
    """What ε and δ say of one unit of privacy."""
    unit, budget = policy.budget.unit, policy.budget
    epsilon, delta = exact(budget.epsilon), exact(budget.delta)
    yield _HIDDEN[unit]
    yield (
        f"epsilon {budget.epsilon}: whatever anyone concludes from all results together, it is at most"
        f" {_factor(epsilon)} as likely, or as unlikely, as if that one {unit} had contributed nothing. The"
        " smaller epsilon, the less anyone can tell; 0 would mean nothing at all."
    )
    yield (
        "As a guess: someone who knows everything else, and for whom it is even odds whether the data of"
        f" that one {unit} were in it, guesses right {_guess(epsilon, delta)}. Without any result it is 50%."
    )
    yield (
        f"delta {budget.delta}: beyond that factor, chances may still differ by up to one in"
        f" {int(1 / delta):,}. It should be far below one divided by the number of people in the fleet."
    )


def _factor(epsilon: Fraction) -> str:
    if epsilon > LARGEST_FACTOR:
        return "hundreds of millions of times (so many that it limits nothing in practice)"
    return f"{round_up(exp(epsilon), 2):,.2f} times"


def _guess(epsilon: Fraction, delta: Fraction) -> str:
    chance = right_guess(float(epsilon), float(delta))
    if chance > SURE:
        return "possibly always: the cap alone does not rule out near certainty"
    caution = "; the cap alone does not rule out near certainty" if chance > NEARLY_SURE else ""
    return f"at most {up(100 * chance)}% of the time{caution}"


def right_guess(epsilon: float, delta: float) -> float:
    """The most often that anyone can tell two equally likely neighbours apart: (e^ε + δ)/(e^ε + 1).

    From TPR ≤ e^ε·FPR + δ and the same for the complements (Kairouz, Oh, Viswanath, ICML 2015,
    arXiv:1311.0776, Theorem 2.1), at TPR = 1 - FPR.

    Args:
        epsilon: ε.
        delta: δ.
    """
    return 1 - (1 - delta) / (exp(min(epsilon, 700.0)) + 1)
