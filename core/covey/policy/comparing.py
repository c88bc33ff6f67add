"""What a newer policy makes weaker or stronger, in words.

"Weaker" is what lets more be asked, with less protection, for longer, or by fewer people's leave; it says
nothing about whether that is right. Where neither policy allows all that the other does, the verdict is
"changed": a person has to look. Exchanging the two policies exchanges "weaker" and "stronger".
"""

from collections.abc import Iterator

from covey.policy.comparing_queries import query_differences
from covey.policy.difference import VERDICTS, Difference, less, more, other, verdict
from covey.policy.terms import LedgerTerms, Policy, exact
from covey.policy.wording import count, one_line

__all__ = ["Difference", "chain_faults", "differences"]


def differences(old: Policy, new: Policy) -> tuple[Difference, ...]:
    """All differences between two policies, what is weaker first; nothing for a policy and itself."""
    found = (
        *_identity(old, new),
        *_validity(old, new),
        *_budget(old, new),
        *_assumptions(old, new),
        *_keys(old, new),
        *_ledger(old.ledger, new.ledger),
        *query_differences(old, new),
    )
    return tuple(sorted(found, key=lambda each: VERDICTS.index(each.verdict)))


def chain_faults(old: Policy, new: Policy, old_sha256: str, new_sha256: str) -> Iterator[str]:
    """Why the newer policy is not the next after the older one, in words; nothing for a policy and itself.

    Args:
        old: The policy in force.
        new: The one to follow it.
        old_sha256: Of the older one's text.
        new_sha256: Of the newer one's text.
    """
    if old_sha256 == new_sha256:
        return
    if old.fleet != new.fleet:
        yield f"they are for different fleets, {old.fleet!r} and {new.fleet!r}"
    if new.serial <= old.serial:
        yield f"serial {new.serial} does not follow serial {old.serial}: write {old.serial + 1}"
    elif new.serial > old.serial + 1:
        yield f"serial {new.serial} is not the next after {old.serial}: compare it with the one before it"
    elif new.previous != old_sha256:
        yield f"previous is {new.previous[:16]}, but the older policy's SHA-256 is {old_sha256}"


def _identity(old: Policy, new: Policy) -> Iterator[Difference]:
    yield from other("name", old.name, new.name, f'the policy is called "{new.name}" instead of "{old.name}"')
    yield from other("fleet", old.fleet, new.fleet, f'it is for fleet "{new.fleet}" instead of "{old.fleet}"')
    yield from other(
        "purpose",
        old.purpose,
        new.purpose,
        f'its purpose is "{one_line(new.purpose)}" instead of "{one_line(old.purpose)}"',
    )
    yield from other(
        "serial", str(old.serial), str(new.serial), f"its serial is {new.serial} instead of {old.serial}"
    )
    yield from other(
        "previous",
        old.previous,
        new.previous,
        f"it follows {new.previous[:16] or 'no policy'} instead of {old.previous[:16] or 'no policy'}",
    )
    yield from less(
        "signatures",
        old.signatures,
        new.signatures,
        f"it needs {count(new.signatures, 'signature')} instead of {old.signatures}",
    )
    yield from more(
        "simulation",
        old.simulation,
        new.simulation,
        "it is a simulation's: noise may be seeded" if new.simulation else "it is no simulation's any more",
    )


def _validity(old: Policy, new: Policy) -> Iterator[Difference]:
    yield from less(
        "valid_from",
        old.valid_from.seconds,
        new.valid_from.seconds,
        f"it holds from {new.valid_from.text} instead of {old.valid_from.text}",
    )
    yield from more(
        "valid_until",
        old.valid_until.seconds,
        new.valid_until.seconds,
        f"it holds until {new.valid_until.text} instead of {old.valid_until.text}",
    )


def _budget(old: Policy, new: Policy) -> Iterator[Difference]:
    before, after = old.budget, new.budget
    yield from more(
        "budget.unit",
        before.unit == "example",
        after.unit == "example",
        f"it promises for one {after.unit} instead of one {before.unit}: epsilon means something else",
    )
    yield from more(
        "budget.epsilon",
        exact(before.epsilon),
        exact(after.epsilon),
        f"answers may cost epsilon {after.epsilon} instead of {before.epsilon}",
    )
    yield from more(
        "budget.delta",
        exact(before.delta),
        exact(after.delta),
        f"the promise holds up to a delta of {after.delta} instead of {before.delta}",
    )
    yield from more(
        "budget.answers",
        before.answers,
        after.answers,
        f"a device may answer {count(after.answers, 'time')} in all instead of {before.answers:,}",
    )


def _assumptions(old: Policy, new: Policy) -> Iterator[Difference]:
    before, after = old.assumptions, new.assumptions
    yield from less(
        "assumptions.corrupt",
        before.corrupt,
        after.corrupt,
        f"it reckons with {count(after.corrupt, 'device')} on the server's side instead of {before.corrupt}",
    )
    yield from more(
        "assumptions.dropouts",
        exact(before.dropouts),
        exact(after.dropouts),
        f"a share of {after.dropouts} of the asked devices may be missing instead of {before.dropouts}",
    )
    for profile in sorted({*before.profiles} ^ {*after.profiles}):
        added = profile in after.profiles
        semi_honest = profile == "semi-honest-server"
        way = verdict(weaker=semi_honest and added, stronger=semi_honest and not added)
        words = f"sums may {'now' if added else 'no longer'} be protected by profile {profile}"
        yield Difference(way, "assumptions.profiles", words)


def _keys(old: Policy, new: Policy) -> Iterator[Difference]:
    before, after = old.keys, new.keys
    yield from other(
        "keys.operator",
        before.operator,
        after.operator,
        f"devices take plans from another key: {after.operator[:16]} instead of {before.operator[:16]}",
    )
    yield from other(
        "keys.enrolment",
        before.enrolment,
        after.enrolment,
        f"another key says what a device is: {after.enrolment[:16]} instead of {before.enrolment[:16]}",
    )


def _ledger(old: LedgerTerms, new: LedgerTerms) -> Iterator[Difference]:
    yield from other(
        "ledger.origin", old.origin, new.origin, f'the ledger is "{new.origin}" instead of "{old.origin}"'
    )
    yield from other("ledger.log", old.log, new.log, f"the ledger's key is {new.log} instead of {old.log}")
    if (set(old.witnesses), old.cosignatures) != (set(new.witnesses), new.cosignatures):
        way = verdict(weaker=_implies(old, new), stronger=_implies(new, old))
        yield Difference(way, "ledger.witnesses", f"plans need {_watched(new)} instead of {_watched(old)}")


def _implies(first: LedgerTerms, second: LedgerTerms) -> bool:
    """Whether cosignatures that satisfy the first always satisfy the second."""
    strangers = len(set(first.witnesses) - set(second.witnesses))
    return max(0, first.cosignatures - strangers) >= second.cosignatures


def _watched(ledger: LedgerTerms) -> str:
    if not ledger.cosignatures:
        return "no witness"
    names = ", ".join("+".join(vkey.split("+", 2)[:2]) for vkey in ledger.witnesses)
    return f"{ledger.cosignatures} of the witnesses {names}"
