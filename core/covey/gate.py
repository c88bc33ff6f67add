"""Whether a new model may replace the old one, by what a fleet counted of both on the same examples.

Three numbers decide: how much accuracy is lost overall, how many more examples of a class are missed, and how
much accuracy a device group loses. Each has an interval for chance and noise together, and three answers: it
keeps to its limit for all that the interval holds, it does not for any of it, or nobody can tell. To pass,
every number must pass on its own; such an intersection of tests needs no correction for their number
(Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24 (1982), 295-300). To
fail, one is enough: with many classes a model at the very limit fails more often than the confidence says.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, sqrt

from covey.gate_counts import Counts, OfClass, OfGroup, counts_of
from covey.gate_interval import Interval, Noisy, paired, share
from covey.gate_report import Check, GateLimits, GateReport, Number, Verdict, decimal

__all__ = ["Counts", "GateLimits", "GateReport", "counts_of", "decide"]

_MOST_DOUBLINGS = 20.0
_STEPS = 24


@dataclass(frozen=True)
class _Question:
    """A number, its limit, and how it is read from counts.

    Attributes:
        number: Which.
        of: The class or group; empty for all.
        limit: What it is held to.
        examples: Of how many.
        read: Its interval.
        optional: Whether it need not pass.
    """

    number: Number
    of: str
    limit: str
    examples: float
    read: Callable[[Counts], Interval]
    optional: bool

    def verdict(self, counts: Counts) -> Verdict:
        """By these counts."""
        found, limit = self.read(counts), float(self.limit)
        low, high = found.low, found.high
        if self.number == "accuracy":
            low, high, limit = -high, -low, -limit
        return "passed" if high <= limit else "failed" if low > limit else "undecided"


def decide(counts: Counts, limits: GateLimits, *, compared: bool = True) -> GateReport:
    """Hold a new model to its limits.

    Args:
        counts: Of old and new model on the same examples, with the noise that is on them.
        limits: What it is held to.
        compared: Whether there is an old model. Without one the cells about it are ignored, and accuracy and
            misses are held to absolute limits.
    """
    questions = _against_old(counts, limits) if compared else _of_first(counts, limits)
    checks = tuple(_check(question, counts) for question in questions)
    verdicts = {check.verdict for check in checks}
    return GateReport(
        verdict="failed" if "failed" in verdicts else "undecided" if "undecided" in verdicts else "passed",
        compared=compared,
        deviation=ceil(counts.deviation),
        limits=limits,
        checks=checks,
    )


def _against_old(counts: Counts, limits: GateLimits) -> Iterator[_Question]:
    z = limits.z
    everything = counts.overall.examples
    yield _Question(
        "accuracy drop",
        "",
        limits.accuracy_drop,
        everything,
        lambda found: _overall(found, z),
        optional=False,
    )
    for place, label in enumerate(counts.classes):
        yield _Question(
            "missed more",
            label.label,
            limits.missed_more,
            label.examples,
            lambda found, place=place: _of_class(found, found.classes[place], z),  # type: ignore[misc]
            optional=label.examples < limits.least_examples,
        )
    for place, group in enumerate(counts.groups):
        yield _Question(
            "group drop",
            group.name,
            limits.group_drop,
            group.examples,
            lambda found, place=place: _of_group(found, found.groups[place], z),  # type: ignore[misc]
            optional=group.examples < limits.least_examples,
        )


def _of_first(counts: Counts, limits: GateLimits) -> Iterator[_Question]:
    z = limits.z

    def accuracy(found: Counts) -> Interval:
        return share(found.overall.new_right, found.overall.examples, found.deviation, z)

    def missed(found: Counts, place: int) -> Interval:
        return share(found.classes[place].new_missed, found.classes[place].examples, found.deviation, z)

    yield _Question("accuracy", "", limits.accuracy_floor, counts.overall.examples, accuracy, optional=False)
    for place, label in enumerate(counts.classes):
        yield _Question(
            "missed",
            label.label,
            limits.most_missed,
            label.examples,
            lambda found, place=place: missed(found, place),  # type: ignore[misc]
            optional=label.examples < limits.least_examples,
        )


def _overall(counts: Counts, z: float) -> Interval:
    """How much accuracy is lost. It stands in the counts twice, with noise of its own: the mean has less."""
    cells, noise = counts.overall, counts.deviation
    lost = (cells.lost - cells.gained + cells.old_right - cells.new_right) / 2
    return paired(Noisy(lost, noise), _discordant(counts, z), Noisy(cells.examples, noise), z)


def _of_class(counts: Counts, of: OfClass, z: float) -> Interval:
    most = _bound(counts, of.old_missed + of.new_missed, of.examples, z)
    numerator = Noisy(of.new_missed - of.old_missed, sqrt(2) * counts.deviation)
    return paired(numerator, most, Noisy(of.examples, counts.deviation), z)


def _of_group(counts: Counts, of: OfGroup, z: float) -> Interval:
    most = _bound(counts, of.old_right + of.new_right, of.examples, z)
    numerator = Noisy(of.old_right - of.new_right, sqrt(2) * counts.deviation)
    return paired(numerator, most, Noisy(of.examples, counts.deviation), z)


def _discordant(counts: Counts, z: float) -> float:
    """The most examples that only one of the models decides right, as far as the noise allows."""
    return max(counts.overall.lost + counts.overall.gained, 0.0) + z * sqrt(2) * counts.deviation


def _bound(counts: Counts, events: float, examples: float, z: float) -> float:
    """The most of some examples that only one model decides right.

    No more than there are of all examples, than events of both models together, than cases without one.
    """
    of_both = max(events, 0.0) + z * sqrt(2) * counts.deviation
    of_neither = max(2 * examples - events, 0.0) + z * sqrt(6) * counts.deviation
    return min(_discordant(counts, z), of_both, of_neither)


def _check(question: _Question, counts: Counts) -> Check:
    found, verdict = question.read(counts), question.verdict(counts)
    too_few = verdict == "undecided" and question.optional
    return Check(
        number=question.number,
        of=question.of,
        examples=round(question.examples),
        estimate=decimal(found.estimate),
        low=decimal(found.low),
        high=decimal(found.high),
        limit=question.limit,
        verdict="too few" if too_few else verdict,
        needs=_needs(question, counts) if verdict == "undecided" else "",
    )


def _needs(question: _Question, counts: Counts) -> str:
    """What would settle it if the rates stay what they seem to be."""
    more = _least(lambda factor: _settled(question, counts.scaled(factor, 1.0)))
    less = _least(lambda factor: _settled(question, counts.scaled(1.0, 1 / factor)))
    ways = []
    if more is not None:
        ways.append(f"about {ceil(question.examples * more):,} examples of it")
    if less is not None:
        ways.append(f"noise of a deviation of {counts.deviation / less:.3g} on each count")
    if not ways:
        return "the estimate is too close to the limit for any number of examples"
    return f"{' or '.join(ways)} would settle it"


def _settled(question: _Question, counts: Counts) -> bool:
    return question.verdict(counts) != "undecided"


def _least(enough: Callable[[float], bool]) -> float | None:
    """The least factor that is enough, by bisection of its logarithm; None if none is."""
    low, high = 0.0, _MOST_DOUBLINGS
    if not enough(2.0**high):
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(2.0**middle) else (middle, high)
    return float(2.0**high)
