"""Mechanisms of sums, and many of them to one ε.

The same sums as `covey.spending` counts, in the same groups; a mechanism is made once for the same numbers,
which the plans of a run repeat.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import get_args

from covey.accounting import DiscreteGaussian, Epsilon, Event, epsilon
from covey.spending import Ended, Side, View
from covey_audit.accountants import Counted
from covey_audit.auditing.mechanism import mechanism
from covey_audit.auditing.reserves import Reserved

Groups = Sequence[Mapping[Event, int]]
"""Mechanisms with their numbers; costs add up within a group, and of several the costliest counts."""


@dataclass(frozen=True)
class Mechanism:
    """A reserved sum, and what it does to the data.

    Attributes:
        reserved: The sum.
        event: With the noise that counts.
    """

    reserved: Reserved
    event: Event


def mechanisms(
    sums: Iterable[Reserved], ended: Callable[[Reserved], Ended | None], view: View
) -> tuple[Mechanism, ...]:
    """Each sum's mechanism against somebody.

    Args:
        sums: All with noise.
        ended: How a sum ended, as far as that may count.
        view: Against whom.
    """
    return tuple(Mechanism(each, mechanism(each.asked, ended(each), view)) for each in sums)


def multiplier(sum_: Reserved, made: Mechanism) -> float:
    """z: the standard deviation of the noise that counts, in norms of a row."""
    found = made.event
    if isinstance(found, DiscreteGaussian):
        return sqrt(found.local_variance * found.contributors) / sum_.plan.norm
    return sqrt(found.variance) / sum_.plan.norm


def groups(sums: Iterable[Mechanism]) -> Groups:
    """Mechanisms in groups that touch different data; of a sum's cohorts the costliest on either side counts.

    The same as `covey.spending.groups`, also where cohorts of one sum ask differently, which is a finding.
    """
    costliest_: dict[tuple[str, int, Side], Event] = {}
    for each in sums:
        for side in each.reserved.asked.touches:
            other = costliest_.setdefault((*each.reserved.key, side), each.event)
            if other is not each.event and each.event.renyi(2) > other.renyi(2):
                costliest_[*each.reserved.key, side] = each.event
    of_side = {side: Counter[Event]() for side in get_args(Side)}
    for (_, _, side), event in costliest_.items():
        of_side[side][event] += 1
    return [group for group in of_side.values() if group]


def costliest(found: Groups, delta: float) -> Epsilon:
    """ε of groups that touch different data: the largest."""
    return max((epsilon(counted(each), delta) for each in found), key=lambda cost: cost.value)


def counted(group: Mapping[Event, int]) -> Counted:
    """In an order that does not depend on who came first, so that everyone adds up the same."""
    return sorted(group.items(), key=repr)
