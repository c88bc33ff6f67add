"""What a gate holds a new model to, and what it found: frozen data that travels in a release."""

from fractions import Fraction
from statistics import NormalDist
from typing import Annotated, Final, Literal

import msgspec

FORMAT: Final = "covey-gate/1"
DIGITS: Final = 6

Limit = Annotated[str, msgspec.Meta(pattern=r"\A(0|1|0\.[0-9]{1,9})\Z")]
"""A rate as a decimal string, 0 to 1: "0.005" is half a point of a hundred."""
Signed = Annotated[str, msgspec.Meta(pattern=r"\A-?[01]\.[0-9]{6}\Z")]
Words = Annotated[str, msgspec.Meta(max_length=400)]
Verdict = Literal["passed", "failed", "undecided"]
Number = Literal["accuracy drop", "missed more", "group drop", "accuracy", "missed"]
"""Which number a check is about. With an old model: how much accuracy is lost overall, how many more examples
of a class are missed, how much accuracy a device group loses. Without one: accuracy, and a class's misses."""


class GateLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a new model is held to.

    Attributes:
        accuracy_drop: Most that it may decide wrong more often than the old one, overall.
        missed_more: Most that it may miss more often of any class.
        group_drop: Most that it may decide wrong more often in any device group.
        accuracy_floor: Least accuracy of a first model.
        most_missed: Largest share of a class that a first model may miss.
        confidence: Of each interval, per cent.
        least_examples: A class or group with fewer examples can fail the gate, but need not pass it.
        allow_undecided: Whether a gate that cannot tell lets a release through all the same.
    """

    accuracy_drop: Limit = "0.005"
    missed_more: Limit = "0.02"
    group_drop: Limit = "0.02"
    accuracy_floor: Limit = "0.5"
    most_missed: Limit = "0.5"
    confidence: Annotated[int, msgspec.Meta(ge=50, le=99)] = 95
    least_examples: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = 500
    allow_undecided: bool = False

    @property
    def z(self) -> float:
        """Two-sided quantile of the normal distribution."""
        return NormalDist().inv_cdf(0.5 + self.confidence / 200)


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One number against its limit.

    Attributes:
        number: Which.
        of: The class or group; empty for all examples.
        examples: Of how many, rounded; noisy.
        estimate: Best guess, a decimal.
        low: Lower end of its interval.
        high: Upper end.
        limit: What it was held to.
        verdict: "passed": the whole interval keeps to the limit. "failed": all of it is beyond. "undecided":
            the limit lies in it. "too few": likewise, in a class or group that need not pass.
        needs: What would settle it, in words; empty where it is settled.
    """

    number: Number
    of: Annotated[str, msgspec.Meta(max_length=128)]
    examples: Annotated[int, msgspec.Meta(ge=-(1 << 53), le=1 << 53)]
    estimate: Signed
    low: Signed
    high: Signed
    limit: Limit
    verdict: Literal["passed", "failed", "undecided", "too few"]
    needs: Words = ""

    @property
    def beyond(self) -> Fraction:
        """By how much the estimate misses the limit; negative where it keeps to it."""
        over = Fraction(self.estimate) - Fraction(self.limit)
        return -over if self.number == "accuracy" else over

    @property
    def words(self) -> str:
        """In one line, rates as per cent."""
        of = f" of {self.of}" if self.of else ""
        interval = f"{_percent(self.estimate)} ({_percent(self.low)} to {_percent(self.high)})"
        bound = "at least" if self.number == "accuracy" else "at most"
        line = f"{self.number}{of}: {interval}, {bound} {_percent(self.limit)}: {self.verdict}"
        return f"{line}; {self.needs}" if self.needs else line


class GateReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a gate decided.

    Attributes:
        verdict: Of all checks together: a failed one fails it, an undecided one leaves it undecided.
        compared: Whether there was an old model; else the new one was held to absolute limits.
        deviation: Of the noise on each count, in examples, rounded up.
        limits: What it was held to.
        checks: All of them, the overall one first.
        format: Of this format.
    """

    verdict: Verdict
    compared: bool
    deviation: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
    limits: GateLimits
    checks: Annotated[tuple[Check, ...], msgspec.Meta(min_length=1, max_length=8192)]
    format: Literal["covey-gate/1"] = FORMAT

    @property
    def may_publish(self) -> bool:
        """Whether the model may leave: it passed, or nobody can tell and that was allowed beforehand."""
        return self.verdict == "passed" or (self.verdict == "undecided" and self.limits.allow_undecided)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks that failed, the worst first."""
        found = [check for check in self.checks if check.verdict == "failed"]
        return tuple(sorted(found, key=lambda check: -check.beyond))

    @property
    def undecided(self) -> tuple[Check, ...]:
        """Checks that more examples or less noise would settle."""
        return tuple(check for check in self.checks if check.verdict == "undecided")

    @property
    def worst_group(self) -> Check | None:
        """The device group that loses most by the estimates; None without groups."""
        groups = [check for check in self.checks if check.number == "group drop"]
        return max(groups, key=lambda check: check.beyond, default=None)

    @property
    def words(self) -> str:
        """The verdict in one line, with the numbers that decided it."""
        decisive = self.failed if self.verdict == "failed" else self.undecided
        return "; ".join((f"the gate {_SAID[self.verdict]}", *(check.words for check in decisive)))


_SAID: Final[dict[Verdict, str]] = {"passed": "passed", "failed": "failed", "undecided": "is undecided"}


def decimal(value: float) -> str:
    """A rate as reports spell it, six places; no negative zero."""
    return f"{round(value, DIGITS) + 0.0:.{DIGITS}f}"


def consistent(report: GateReport) -> bool:
    """Whether the verdicts are those that the numbers in the report give: a report is only as good as these.

    Ends are rounded in a report, so a limit that lies within half a millionth of one may go either way.
    """
    verdicts = [check.verdict for check in report.checks]
    together = "failed" if "failed" in verdicts else "undecided" if "undecided" in verdicts else "passed"
    return together == report.verdict and all(map(_stands, report.checks))


def _stands(check: Check) -> bool:
    limit, slack = Fraction(check.limit), Fraction(1, 10**DIGITS)
    low, high = Fraction(check.low), Fraction(check.high)
    if check.number == "accuracy":
        low, high, limit = -high, -low, -limit
    match check.verdict:
        case "passed":
            return high <= limit + slack
        case "failed":
            return low >= limit - slack
        case _:
            return low - slack <= limit <= high + slack


def _percent(rate: str) -> str:
    return f"{float(rate) * 100:.4g} %"
