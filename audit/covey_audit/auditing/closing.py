"""What an audit takes for granted, and what it says nothing about, in plain sentences."""

from collections.abc import Iterator, Sequence
from typing import Final

from covey_audit.audited import Level, TuningFacts
from covey_audit.auditing.head import Head
from covey_audit.auditing.material import Anchors, Asked
from covey_audit.auditing.policies import Policies
from covey_audit.auditing.reserves import Reserved

_NEWEST: Final[dict[Asked, str]] = {
    "file": "The checkpoint given as --witnessed came from the witness itself, and is its newest.",
    "folder": "The folder given as --witnessed is the witness's own: no copy of it, and no older state.",
    "address": "The witness itself answers at the address given as --witnessed, with its newest checkpoint.",
}
"""A cosigned checkpoint that is old would hide what came after it."""


def trusts(  # noqa: PLR0913 - all that an audit knows
    anchors: Anchors,
    policies: Policies,
    head: Head,
    reserved: Sequence[Reserved],
    level: Level,
    *,
    simulated: bool,
) -> Iterator[str]:
    """Everything without which a figure of the audit does not hold.

    Args:
        anchors: What the reader gave.
        policies: What was in force.
        head: The checkpoint.
        reserved: What was asked for.
        level: What the audit establishes.
        simulated: Whether the fleet is simulated.
    """
    yield from _keys(anchors, simulated=simulated)
    yield from _witnesses(head, anchors)
    corrupt = sorted({each.plan.corrupt for each in reserved})
    if corrupt:
        most = " or ".join(f"{number}" for number in corrupt)
        yield f"At most {most} of all enrolled devices side with the server (C_max)."
        yield "All other devices run unchanged code: they add their noise, clip, and keep their own budget."
    if any(each.plan.suite and each.plan.suite.profile == "semi-honest-server" for each in reserved):
        yield "The server follows the protocol: the semi-honest-server profile protects from no other."
    if level < 2 and reserved:  # noqa: PLR2004 - as documented
        yield "Who was in each sum is the operator's word; epsilon counts on no more than the plan's minimum."
    elif reserved:
        yield (
            "The settled epsilon is that of the devices in the evidence: a server can open a plan with other"
            " devices too and show them nowhere. The one against the server holds for them all."
        )
    if policies.all:
        yield (
            "A sum that is not in this ledger was answered by no device: devices refuse a plan without proof"
            " that the ledger holds it, and keep one budget for life."
        )
        yield "Devices hold to the cap themselves; the ledger shows that they were not asked for more."
    if any(each.plan.roster for each in reserved):
        yield "No roster is newer than those entered here: a revocation that was kept back would not show."
    if any(each.asked.touches == ("held out",) for each in reserved):
        yield "Validation examples are others than training examples: of the two costs the larger counts."
    yield "Dates of entries are the writer's; witnesses bound only the last one."


def _keys(anchors: Anchors, *, simulated: bool) -> Iterator[str]:
    if anchors.borrowed:
        yield "NOTHING OF YOUR OWN: a self-check takes policy, keys and witness from the run itself."
    elif anchors.reviewers is not None:
        names = ", ".join(each.name for each in anchors.reviewers.keys)
        yield f"The reviewers' keys are yours, {anchors.reviewers.threshold} of: {names}."
    elif anchors.policy is not None:
        yield "The policy that you gave is the right one; nobody's signature on it was checked."
    else:
        yield "NOTHING OF YOUR OWN: keys and policy are those that the ledger itself brings along."
    which = "that the policy names"
    if anchors.enrolment is not None:
        which = "that lies in the run" if anchors.borrowed else "that you gave"
    whom = "simulated devices, and protects nobody" if simulated else "real devices, each once"
    yield f"The enrolment key {which} certifies {whom}."


def _witnesses(head: Head, anchors: Anchors) -> Iterator[str]:
    if head.witnesses:
        names = ", ".join(head.witnesses)
        yield f"At least one of these witnesses is honest: {names}."
    else:
        yield "The operator shows everyone the same ledger: no witness says so."
    if not head.compared:
        yield "This is the newest state of the ledger: no checkpoint from a witness was compared."
    elif not anchors.borrowed:
        yield _NEWEST[anchors.asked]


def not_covered(reserved: Sequence[Reserved], tuned: Sequence[TuningFacts]) -> Iterator[str]:
    """What no figure of the audit says anything about.

    Args:
        reserved: What was asked for.
        tuned: What is said of how settings were chosen.
    """
    yield "Who takes part, when, and from which network addresses: the server knows that."
    yield "Devices that leave out their noise beyond C_max, and code on devices that nobody attests."
    if any(each.plan.unit == "device" for each in reserved):
        yield "People with more than one device: the promise is for one device."
    if any(each.plan.unit == "example" for each in reserved):
        yield "Several examples of one person, which add up, and examples that overlap."
    yield "What else was computed from the same data outside this ledger."
    yield "How a released model came about: a plan of its run carried it, no more is shown."
    for each in tuned:
        if each.epsilon is not None:
            yield (
                f"How settings of run {each.run!r} were chosen: stated apart as epsilon {each.epsilon}"
                f" at delta {each.delta}, not added."
            )
    yield "Whether the data are true, lawful to use, or of the people they are said to be of."
