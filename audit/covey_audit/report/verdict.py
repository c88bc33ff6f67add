"""What may be concluded from an audit, in one sentence, and no more than that."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from covey.plan import Unit
from covey.policy.terms import exact
from covey_audit.audited import Audited, Costs
from covey_audit.report import words

Tone = Literal["good", "caution", "danger"]

ONLY_HERE: Final = "for what stands in this ledger; devices have counted more"
"""Of a cost, where devices have reserved for more plans than are here."""

UNIT_OF: dict[Unit, str] = {"device": "one device", "example": "one example"}
"""Whose privacy a figure is about."""


@dataclass(frozen=True)
class Verdict:
    """What may be concluded.

    Attributes:
        tone: "good" only where nothing was found and an ε is certified.
        heading: In a few words.
        sentence: In full.
    """

    tone: Tone
    heading: str
    sentence: str


def verdict(audited: Audited) -> Verdict:
    """The conclusion that fits an audit: the gravest that applies is the whole of it."""
    if any(each.severity == "critical" for each in audited.findings):
        return _critical(audited)
    if not audited.sums:
        return _empty()
    if audited.simulation:
        return _simulated(audited)
    if any(each.waived for each in audited.findings):
        return _accepted(audited)
    if audited.level and not audited.is_whole:
        return _unwitnessed(audited)
    return _certified(audited) if audited.level else _unanchored(audited)


def claim(cost: Costs) -> str:
    """What sums of one unit cost, as in "at most ε = 3.881 at δ = 10⁻⁵ for one device"."""
    if cost.server is None:
        return f"no finite ε for {UNIT_OF[cost.unit]}"
    at = words.probability(cost.delta)
    return f"at most ε = {words.epsilon(cost.server)} at δ = {at} for {UNIT_OF[cost.unit]}"


def against_cap(cost: Costs) -> str:
    """How that compares with the policy's cap, as in "within the policy's 8"."""
    if cost.cap is None:
        return "no policy caps it"
    inside = cost.server is not None and cost.server <= exact(cost.cap)
    return f"{'within' if inside else 'ABOVE'} the policy's {cost.cap}"


def by_severity(audited: Audited) -> Iterator[str]:
    """As in "2 warnings", worst first; nothing for what there is none of."""
    for severity, noun in (("critical", "critical finding"), ("warning", "warning"), ("note", "note")):
        many = sum(each.severity == severity for each in audited.findings)
        if many:
            yield words.count(many, noun)


def _critical(audited: Audited) -> Verdict:
    found = [each for each in audited.findings if each.severity == "critical"]
    where = "" if found[0].entry is None else f"entry {found[0].entry}: "
    said = words.one_line(found[0].words).rstrip(".")
    others = "one is" if len(found) == 2 else f"{len(found) - 1:,} are"  # noqa: PLR2004 - and one other
    more = "" if len(found) == 1 else f" The other {others} listed below."
    return Verdict(
        "danger",
        f"Do not rely on this ledger: {words.count(len(found), 'critical finding')}",
        f"No ε is certified, whatever the figures below say ({where}{said}).{more}",
    )


def _empty() -> Verdict:
    said = "No private sum was asked for in this ledger, so there is no ε to state."
    return Verdict("caution", "Nothing was asked for", said)


def _simulated(audited: Audited) -> Verdict:
    said = f"With the same settings, a fleet of real devices would have spent {_each(audited)}."
    return Verdict("caution", "SIMULATION: nobody is protected", f"No ε is certified. {said}{_more(audited)}")


def _accepted(audited: Audited) -> Verdict:
    accepted = sum(bool(each.waived) for each in audited.findings)
    said = (
        f"Reviewers accepted {words.count(accepted, 'finding')}. What they accepted happened all the same, "
        f"so no ε is certified; by its plans, the ledger's sums cost {_each(audited)}."
    )
    return Verdict("caution", "Accepted by reviewers, not certified", said + _more(audited))


def _unanchored(audited: Audited) -> Verdict:
    trusted = bool(audited.policies) and all(each.trusted for each in audited.policies)
    why = (
        "Not every sum was held to a policy that you trust."
        if trusted
        else "Nothing shows that this ledger's policy is the one that you or your reviewers signed."
    )
    said = f"{why} By its own plans its sums cost {_each(audited)}; that is the operator's word."
    return Verdict("caution", "No ε is certified", said + _more(audited))


def _unwitnessed(audited: Audited) -> Verdict:
    said = (
        "No witness was asked how long this ledger is: its end may have been cut off, with the sums in it."
        f" What is left of it costs {_each(audited)}."
    )
    return Verdict("caution", "No ε is certified", said + _more(audited))


def _certified(audited: Audited) -> Verdict:
    corrupt = max((each.plan.corrupt for each in audited.sums), default=0)
    said = (
        f"All that was asked in this ledger costs {_each(audited)}, against the server and up to "
        f"{words.count(corrupt, 'enrolled device')} on its side. This holds if all "
        f"{words.count(len(audited.trusts), 'assumption')} listed below hold, and for nothing that is listed "
        f"as not covered.{_elsewhere(audited)}"
    )
    warnings = sum(each.severity == "warning" for each in audited.findings)
    if warnings:
        heading = f"Certified, with {words.count(warnings, 'warning')} to answer first"
        return Verdict("caution", heading, said)
    return Verdict("good", "Nothing was found against this ledger", said)


def _more(audited: Audited) -> str:
    """That devices have answered elsewhere too, and that there are warnings."""
    warnings = sum(each.severity == "warning" for each in audited.findings)
    if not warnings:
        return _elsewhere(audited)
    are = "is" if warnings == 1 else "are"
    return f"{_elsewhere(audited)} There {are} also {words.count(warnings, 'warning')}, listed below."


def _elsewhere(audited: Audited) -> str:
    """What no sum of this ledger shows: a figure is no bound for devices that answered more."""
    return "" if audited.is_all else f" That is the most {ONLY_HERE}."


def _each(audited: Audited) -> str:
    return "; and, apart from that, ".join(f"{claim(cost)} ({against_cap(cost)})" for cost in audited.costs)
