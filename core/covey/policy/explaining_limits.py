"""What a policy's promise rests on, and what it leaves open, in words."""

from collections.abc import Iterator
from typing import Final

from covey.plan import Profile
from covey.policy.terms import LedgerTerms, Policy
from covey.policy.wording import percent

PROFILES: Final[dict[Profile, str]] = {
    "malicious-server": "The server may do anything it likes (profile malicious-server).",
    "semi-honest-server": (
        "In some sums the server FOLLOWS THE PROTOCOL (profile semi-honest-server). A server that does not"
        " can isolate a few devices and read the sum over them alone."
    ),
}


def assumption_points(policy: Policy) -> Iterator[str]:
    """What must be true for the promise to hold, whoever can check it."""
    assumed = policy.assumptions
    yield (
        "The devices of the whole fleet that side with the server or leave out their noise number at most"
        f" {assumed.corrupt:,}. With more, the promise does not hold."
    )
    yield (
        f"Sums are opened with up to {percent(assumed.dropouts)} of the asked devices missing; only the"
        " noise of those who must remain is counted."
    )
    yield from (PROFILES[each] for each in assumed.profiles)
    yield "Devices run the software they should. None of them proves it to anyone (attestation: none)."
    yield (
        "The enrolment key, which decides what counts as a device, is not in the hands of whoever runs the"
        " server; neither are the reviewers' keys."
    )
    yield _ledger(policy.ledger)
    yield "The devices' random numbers are unpredictable, and the cryptography in use is not broken."
    if policy.budget.unit == "example":
        yield "Examples do not overlap, and the coins that choose them stay secret."


def _ledger(ledger: LedgerTerms) -> str:
    told = f'Before a device answers, the question stands in the ledger "{ledger.origin}"'
    if ledger.cosignatures == 0:
        return (
            f"{told}. NO WITNESS watches it: the operator can keep several and show each reader another one,"
            " and devices have only their own clocks."
        )
    names = ", ".join(vkey.partition("+")[0] for vkey in ledger.witnesses)
    return (
        f"{told}, and {ledger.cosignatures} of its witnesses ({names}) confirmed that it only ever grew. Of"
        " those who confirm, at least one must be honest and not the operator's."
    )


def unpromised_points(policy: Policy) -> Iterator[str]:
    """What no number of a policy covers."""
    yield "Who takes part, when, and from which network address: the server sees that."
    yield (
        "What is learnt from the sums about people in general, also about people without a device. That is"
        " what the sums are for, and it can be unwelcome."
    )
    yield "What happens to results once they are released, and whether the purpose is kept."
    yield (
        "That no later policy allows more. Who holds enough of the reviewers' keys can sign one; devices"
        " then go on counting from what they have answered."
    )
    yield (
        "Anything collected from the same people by other means, or by another fleet. Each such use costs"
        " privacy of its own, and it adds up."
    )
    yield (
        "That settings (clip norms, rates, the model's shape) were not chosen by looking at the same"
        " people's data. Such choices cost privacy that no number here includes."
    )
    yield (
        "That a device whose disk was copied or restored counts everything that the original answered: not"
        " every copy can be detected."
    )
    yield "That results are right. Noise makes them less exact, and a dishonest device can spoil a sum."
    if not policy.simulation:
        yield (
            "That devices follow this policy which never received it. The ledger and `covey audit` show what"
            " was asked."
        )
