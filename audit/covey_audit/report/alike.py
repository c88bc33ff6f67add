"""Sums that were asked for with the same numbers, together."""

from collections.abc import Sequence
from dataclasses import dataclass

from covey.encode import Part
from covey.plan import Gradient, Masks, Plan, Suite, Unit
from covey.policy.checking import kind_of
from covey.secagg.graph import quorum
from covey_audit.audited import SumFacts

Span = tuple[int, int]
"""Least and greatest."""


@dataclass(frozen=True)
class Alike:
    """Sums of one kind whose plans share what a claim is computed from.

    Attributes:
        kind: As a policy calls it.
        unit: The unit of privacy.
        sums: How many.
        opened: Of these, opened.
        parts: How a row is laid out, each part with its clip.
        norm: Δ, integer units.
        d1: D1, integer units.
        d2: D2, integer units.
        masks: Whether answers were masked.
        suite: How; None without masks.
        mechanism: The noise's law; empty for none.
        removal: Whether noise beyond what is promised was taken out again.
        seeded: Whether noise was drawn from a seed.
        sampling_rate: q of the coin for each example; 1 for none.
        examples_cap: Most examples of one device that count.
        corrupt: C_max.
        cohort: Devices asked.
        minimum: Fewest devices whose sum is opened.
        multiplier: Least z; None without noise.
        variance: Least σ², squared integer units; None without noise.
    """

    kind: str
    unit: Unit
    sums: int
    opened: int
    parts: tuple[Part, ...]
    norm: int
    d1: float
    d2: float
    masks: Masks
    suite: Suite | None
    mechanism: str
    removal: bool
    seeded: bool
    sampling_rate: float
    examples_cap: int
    corrupt: int
    cohort: Span
    minimum: Span
    multiplier: float | None
    variance: int | None

    @property
    def length(self) -> int:
        """d, elements of an answer."""
        return sum(part.length for part in self.parts)

    @property
    def honest(self) -> int:
        """h, the fewest honest devices in an opened sum."""
        return self.minimum[0] - self.corrupt

    @property
    def threshold(self) -> Span:
        """Devices, or neighbours, that must agree before a sum is opened."""
        if self.suite is not None and self.suite.threshold:
            return self.suite.threshold, self.suite.threshold
        return quorum(self.cohort[0], self.corrupt), quorum(self.cohort[1], self.corrupt)


def alike(sums: Sequence[SumFacts]) -> tuple[Alike, ...]:
    """Sums by what their plans share, in order of the first of each.

    Args:
        sums: In order.
    """
    found: dict[tuple[object, ...], list[SumFacts]] = {}
    for each in sums:
        found.setdefault(_key(each.plan), []).append(each)
    return tuple(_together(members) for members in found.values())


def _key(plan: Plan) -> tuple[object, ...]:
    noise = plan.noise
    law = (noise.mechanism, noise.removal, noise.seeded) if noise else ()
    return (
        *(kind_of(plan), plan.unit, plan.parts, plan.norm, plan.masks, plan.suite, law),
        *(_rate(plan), plan.task.examples_cap, plan.corrupt),
    )


def _together(members: Sequence[SumFacts]) -> Alike:
    first = members[0]
    plan, noise = first.plan, first.plan.noise
    asked, least = [each.plan.cohort for each in members], [each.plan.minimum for each in members]
    return Alike(
        kind=kind_of(plan),
        unit=plan.unit,
        sums=len(members),
        opened=sum(each.outcome == "opened" for each in members),
        parts=plan.parts,
        norm=plan.norm,
        d1=first.d1,
        d2=first.d2,
        masks=plan.masks,
        suite=plan.suite,
        mechanism=noise.mechanism if noise else "",
        removal=noise.removal if noise else False,
        seeded=noise.seeded if noise else False,
        sampling_rate=_rate(plan),
        examples_cap=plan.task.examples_cap,
        corrupt=plan.corrupt,
        cohort=(min(asked), max(asked)),
        minimum=(min(least), max(least)),
        multiplier=min((z for each in members if (z := each.multiplier) is not None), default=None),
        variance=min((each.plan.noise.variance for each in members if each.plan.noise), default=None),
    )


def _rate(plan: Plan) -> float:
    return plan.task.sampling_rate if isinstance(plan.task, Gradient) else 1.0
