"""What private sums have cost so far, from what was asked and how it ended, and from nothing else.

Every sum that was asked for counts, also one that was aborted or cut short by a crash: devices may have
answered. Cohorts of one sum ask different devices, so the costliest of them counts. For the unit example
held-out examples are others than those trained on: validation is composed in parallel with the rest, and the
larger ε counts. What a rollout did to a device may follow from any of its examples: health counts on both
sides. Without masks the server sees each answer alone: against it only that device's own noise
counts, and of that what stays when all that can be removed is asked for.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import msgspec

from covey import plan as plans
from covey.accounting import DiscreteGaussian, Epsilon, Event, MatrixGaussian, Skellam, epsilon
from covey.noise.removal import local_shares
from covey.plan import CentralNoise, Gradient, Masks, Noise, Plan, Unit

View = Literal["server", "settled", "release"]
"""Against whom, and knowing what.

"server": the server and C_max devices, with no more noise than the smallest sum that may be opened
guarantees. "settled": the same, with the noise of those who are shown to have been in the sum. "release": an
outsider who sees only releases and controls no device.
"""


Side = Literal["trained on", "held out"]


@dataclass(frozen=True)
class Asked:
    """What a claim about one sum is computed from.

    Attributes:
        run: The run's identifier.
        sum: Serial number in it.
        cohort_number: Which of its cohorts.
        kind: The task's: "train", "gradient", "validate", …
        unit: The unit of privacy.
        cohort: Devices asked.
        minimum: Fewest devices whose sum is opened.
        corrupt: C_max.
        length: d.
        norm: Δ, integer units.
        sampling_rate: q of the coins; 1 for none.
        masks: Whether answers were masked.
        noise: What the devices added; None for nothing.
        central: What the server added instead; None for nothing.
        round: Of training, where the server adds noise: it may be correlated over rounds.
    """

    run: str
    sum: int
    cohort_number: int
    kind: str
    unit: Unit
    cohort: int
    minimum: int
    corrupt: int
    length: int
    norm: int
    sampling_rate: float
    masks: Masks
    noise: Noise | None
    central: CentralNoise | None = None
    round: int = 0

    @classmethod
    def of(cls, plan: Plan) -> "Asked":
        """By a plan."""
        return cls(
            run=plan.run,
            sum=plan.sum,
            cohort_number=plan.cohort_number,
            kind=plans.kind(plan),
            unit=plan.unit,
            cohort=plan.cohort,
            minimum=plan.minimum,
            corrupt=plan.corrupt,
            length=plan.length,
            norm=plan.norm,
            sampling_rate=plan.task.sampling_rate if isinstance(plan.task, Gradient) else 1.0,
            masks=plan.masks,
            noise=plan.noise,
            central=None if plan.central is msgspec.UNSET else plan.central,
            round=0 if plan.central is msgspec.UNSET else plan.round,
        )

    @property
    def is_correlated(self) -> bool:
        """Whether its noise is that of other rounds, too."""
        return self.central is not None and self.central.bands > 1

    @property
    def touches(self) -> tuple[Side, ...]:
        """Which examples it touches: of the costs on the two sides the larger counts."""
        if self.unit == "device":
            return ("trained on",)
        match self.kind:
            case "validate" | "compare":
                return ("held out",)
            case "health":
                return ("trained on", "held out")
            case _:
                return ("trained on",)


@dataclass(frozen=True)
class Ended:
    """How a sum was opened.

    Attributes:
        devices: In it.
        sharing: That could have been.
    """

    devices: int
    sharing: int


Sum = tuple[Asked, Ended | None]
"""A sum, and how it was opened; None if it was not."""


@dataclass(frozen=True)
class Spent:
    """What sums have cost.

    Attributes:
        unit: The unit of privacy.
        delta: δ.
        server: ε against the server and C_max devices; None if a sum had no noise of the devices'. Without
            masks against the server that saw each answer.
        release: ε against an outsider who sees only releases and controls no device; None if a sum had no
            noise. Where the server added it, the server is trusted to have done so, and with the sums.
        simulated: Whether noise was drawn from a seed: the ε are what a fleet would have, and protect nobody.
        sums: How many sums were reserved, by kind.
        unopened: How many of them were not opened.
    """

    unit: str
    delta: float
    server: Epsilon | None
    release: Epsilon | None
    simulated: bool
    sums: dict[str, int]
    unopened: int


def spent(sums: Iterable[Sum], delta: float) -> Spent:
    """The cost of sums of one unit.

    Args:
        sums: At least one.
        delta: δ of them all together.
    """
    known = list(sums)
    noisy = all(asked.noise for asked, _ in known)
    released = all(asked.noise or asked.central for asked, _ in known)
    return Spent(
        unit=known[0][0].unit,
        delta=delta,
        server=_epsilon(known, delta, "server") if noisy else None,
        release=_epsilon(known, delta, "release") if released else None,
        simulated=any(each.seeded for asked, _ in known for each in (asked.noise, asked.central) if each),
        sums=dict(Counter(asked.kind for asked, _ in known if asked.cohort_number == 0)),
        unopened=sum(end is None for _, end in known),
    )


def groups(sums: Iterable[Sum], view: View) -> list[list[tuple[Event, int]]]:
    """Events whose costs add up, with their numbers; of several groups the costliest counts.

    Args:
        sums: All with noise.
        view: Against whom.
    """
    costliest_of: dict[tuple[str, int, Side], Event] = {}
    together: defaultdict[tuple[Side, Asked], list[int]] = defaultdict(list)
    for asked, end in sums:
        if asked.is_correlated and view == "release":
            for side in asked.touches:
                together[side, replace(asked, sum=0, round=0)].append(asked.round)
            continue
        one = event(asked, end, view)
        for side in asked.touches:
            name = (asked.run, asked.sum, side)
            other = costliest_of.get(name)
            if other is None or (other != one and one.renyi(2) > other.renyi(2)):
                costliest_of[name] = one
    found: defaultdict[Side, Counter[Event]] = defaultdict(Counter)
    for (_, _, side), one in costliest_of.items():
        found[side][one] += 1
    for (side, asked), rounds in together.items():
        found[side][_correlated(asked, rounds)] += 1
    return [list(counted.items()) for counted in found.values()]


def event(asked: Asked, end: Ended | None, view: View) -> Event:
    """One sum's mechanism. In the server's view only the noise that honest devices guarantee counts.

    Raises:
        ValueError: It had no noise.
    """
    noise, central = asked.noise, asked.central
    if central is not None and view == "release":
        return MatrixGaussian(asked.norm, asked.length, central.variance)
    if noise is None:
        raise ValueError("a sum without noise has no cost that is finite")
    if noise.mechanism == "discrete-gaussian":
        (local,) = _shares(asked, noise, asked.cohort)
        contributors = _contributors(asked, end, view)
        return DiscreteGaussian(asked.norm, asked.length, local, contributors, asked.sampling_rate)
    return _skellam(asked.norm, asked.length, _variance(asked, noise, end, view), asked.sampling_rate)


def _correlated(asked: Asked, rounds: Sequence[int]) -> MatrixGaussian:
    """All sums that share correlated noise; a round that was asked again is there twice."""
    central = asked.central
    if central is None:
        raise ValueError("a sum without noise of the server's")
    steps = len(set(rounds))
    return MatrixGaussian(
        sensitivity=asked.norm,
        length=asked.length,
        variance=central.variance,
        bands=central.bands,
        steps=steps,
        separation=central.separation,
        repeats=len(rounds) - steps,
    )


@lru_cache(maxsize=1024)  # a pure function: the sums of a run are mostly alike
def _skellam(norm: int, length: int, variance: int, rate: float) -> Skellam:
    return Skellam(norm, length, variance, rate)


def _contributors(asked: Asked, end: Ended | None, view: View) -> int:
    """Whose discrete Gaussians count."""
    if asked.masks == "none" and view != "release":
        return 1
    if end is None or view == "server":
        return asked.minimum - asked.corrupt
    return end.devices if view == "release" else end.devices - asked.corrupt


def _variance(asked: Asked, noise: Noise, end: Ended | None, view: View) -> int:
    """Of the Skellam noise that counts."""
    if asked.masks == "none" and view != "release":
        return _shares(asked, noise, asked.cohort)[0]
    if end is None or view == "server" or (view == "settled" and noise.removal):
        return noise.variance  # what is left with removal is this much and no more: nothing is given back
    if view == "settled":
        return (end.devices - asked.corrupt) * _shares(asked, noise, end.sharing)[0]
    return left(asked, noise, end)


def costliest(found: Sequence[Sequence[tuple[Event, int]]], delta: float) -> Epsilon:
    """The ε of groups that do not touch the same data."""
    return max((epsilon(list(counted), delta) for counted in found), key=lambda cost: cost.value)


def _epsilon(sums: list[Sum], delta: float, view: View) -> Epsilon:
    return costliest(groups(sums, view), delta)


def left(asked: Asked, noise: Noise, end: Ended) -> int:
    """The variance of all survivors' noise in an opened sum: more than the server's view may count on.

    Squared integer units, of each element.

    Noise that should have been taken off and was not is left out: only the server knows that it is there.
    """
    shares, stay = _shares(asked, noise, end.sharing), end.sharing - end.devices + 1
    return int(end.devices * sum(shares[:stay]))


def _shares(asked: Asked, noise: Noise, sharing: int) -> tuple[int, ...]:
    """What each device added."""
    of = {"corrupt": asked.corrupt, "minimum": asked.minimum}
    return local_shares(noise.variance, sharing=sharing, removal=noise.removal, **of)
