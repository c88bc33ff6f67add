"""Whether the next ring opens, from what devices of the open ones reported.

Three answers, in this order:

    Stop      a ring, or all open ones together, has failed devices beyond the plan's limit: the interval of
              their share lies wholly above it, and the plan's least number of devices counts
    Wait      the soak is not over; too few have reported; the share may be above the limit. If an estimate is
              above it once the time for reports is over, nothing goes on without people: it pauses
    Advance   the interval of all open rings' share lies below the limit, and no estimate is above it

A plan may leave a share unproven: `limits.unproven = "advance"`. It is for rings that are too small, or too
noisy, to ever show a share below the limit: 29 devices without a failure show 10 %, two devices show nothing.
Then the ring advances once all time for reports is over, no estimate is above the limit, and half of its
devices have succeeded for certain: noise that drowns a ring opens nothing. The default is to wait, which only
a new plan ends: nobody has approved to go on without proof.

`minimum_reports` must have come for certain: what noise alone may have made does not count. A ring with none
is opened on trust, where the plan says "advance": it holds back what follows only if it is surely bad. That
is for a laboratory of two devices whose health comes with noise, and which people look at.

The probability of a false stop is at most 1 - confidence at each look, over all rings looked at together
(Bonferroni), and so is that of an advance that counts as shown while the share is at the limit or above it. A
rollout that looks k times errs at most k times as often: it looks ever less often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from covey.rollout.health import Evidence, RingHealth, check, evidence
from covey.rollout.health_interval import upper_end
from covey.rollout.plan import Limits, Ring, RolloutPlan

_PER_MILLE: Final = 1000


@dataclass(frozen=True)
class Advance:
    """The next ring opens; after the last one, the rollout is complete.

    Attributes:
        because: In plain words.
        shown: What it follows from: each ring, then all together.
    """

    because: str
    shown: tuple[Evidence, ...]


@dataclass(frozen=True)
class Wait:
    """Nothing changes.

    Attributes:
        because: In plain words.
        shown: As of `Advance`.
        for_people: Whether time alone changes nothing any more.
        pauses: Whether nobody is to begin until people have looked: an estimate is above the limit, and the
            time for reports is over.
    """

    because: str
    shown: tuple[Evidence, ...]
    for_people: bool = False
    pauses: bool = False


@dataclass(frozen=True)
class Stop:
    """The rollout ends here.

    Attributes:
        because: In plain words.
        shown: As of `Advance`.
    """

    because: str
    shown: tuple[Evidence, ...]


Verdict = Advance | Wait | Stop


def decide(plan: RolloutPlan, open_for: Sequence[int], health: Sequence[RingHealth]) -> Verdict:
    """What follows from health.

    Args:
        plan: As people approved it.
        open_for: Seconds since each open ring was opened; at least one, at most as many as the plan has.
        health: Of each open ring, in their order.

    Raises:
        ProtocolError: Not the health of these rings.
    """
    check(health, len(open_for))
    limits, newest = plan.limits, plan.rings[len(open_for) - 1]
    over = [time >= reports_over(plan, ring) for time, ring in zip(open_for, plan.rings, strict=False)]
    shown = _shown(plan, health, over)
    for each in shown:
        if each.counted >= limits.least_devices and each.interval.low > limits.most_failed / _PER_MILLE:
            return Stop(f"{each.words}: above the limit of {_limit(limits)}", shown)
    if (left := newest.soak_seconds - open_for[-1]) > 0:
        return Wait(f"ring {newest.name} soaks for {_hours(left)} more; {shown[-1].words}", shown)
    return _soaked(limits, newest, shown, over=over[-1])


def reports_over(plan: RolloutPlan, ring: Ring) -> int:
    """Seconds after a ring was opened at which a device that has not reported counts as failed."""
    return ring.soak_seconds + plan.limits.report_seconds


def devices_to_show(limits: Limits) -> int:
    """So many devices, none of them failed and none silent, show a share below the limit, in the clear."""
    error, most, low, high = _error(limits), limits.most_failed / _PER_MILLE, 1, 1
    while upper_end(0, high, error) > most:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if upper_end(0, middle, error) > most else (low, middle)
    return low


def _soaked(limits: Limits, newest: Ring, shown: tuple[Evidence, ...], *, over: bool) -> Verdict:
    every, own = shown[-1], shown[max(len(shown) - 2, 0)]
    most = limits.most_failed / _PER_MILLE
    worse = own if own.share > most else every
    if (
        over
        and limits.unproven == "advance"
        and newest.minimum_reports == 0
        and _is_not_surely_bad(shown, most)
    ):
        return Advance(f"{every.words}: ring {newest.name} is on trust, as the plan allows", shown)
    if worse.share > most:
        words = f"{worse.words}: not within the limit of {_limit(limits)}"
        return Wait(words, shown, for_people=over, pauses=over)
    if own.reported < newest.minimum_reports:
        came = f"{max(own.reported, 0):.0f} of {own.expected:,} devices have reported for certain"
        return Wait(f"{own.name}: {came}, the plan wants {newest.minimum_reports:,}", shown, for_people=over)
    if every.interval.high <= most:
        return Advance(f"{every.words}: within the limit of {_limit(limits)}", shown)
    if over and limits.unproven == "advance" and own.well >= own.expected / 2:
        return Advance(
            f"{every.words}: within the limit of {_limit(limits)}, unproven as the plan allows", shown
        )
    return Wait(f"{every.words}: may be above the limit of {_limit(limits)}", shown, for_people=over)


def _is_not_surely_bad(shown: tuple[Evidence, ...], most: float) -> bool:
    return all(each.interval.low <= most for each in shown)


def _shown(plan: RolloutPlan, health: Sequence[RingHealth], over: Sequence[bool]) -> tuple[Evidence, ...]:
    """Each open ring, and all together if there are several."""
    error, several = _error(plan.limits), len(health) > 1
    each = error / (len(health) + 1 if several else 1)
    counts = list(zip(health, over, strict=True))
    rings = tuple(
        evidence(f"ring {ring.name}", [of_it], each) for ring, of_it in zip(plan.rings, counts, strict=False)
    )
    return (*rings, evidence("all open rings", counts, error)) if several else rings


def _error(limits: Limits) -> float:
    return 1 - limits.confidence / 100


def _limit(limits: Limits) -> str:
    return f"{limits.most_failed / 10:g} % at {limits.confidence} % confidence"


def _hours(seconds: int) -> str:
    return f"{seconds / 3600:.1f} h"
