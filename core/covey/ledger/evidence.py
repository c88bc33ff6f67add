"""Evidence of a sum against what the ledger says of it."""

import hmac

from covey.errors import ProtocolError
from covey.identity import Roster
from covey.ledger import participation
from covey.ledger.entries import Members, Sets, Settle
from covey.secagg.evidence import Evidence, Shown, show
from covey.secagg.terms import Terms


def sets_of(shown: Shown) -> Sets:
    """The commitments that a settle makes."""
    return Sets(
        u1=shown.u1.hex(),
        u2=shown.u2.hex(),
        u3=shown.u3.hex(),
        participants=participation.root(shown.leaves).hex(),
    )


def check(evidence: Evidence, terms: Terms, roster: Roster, settle: Settle, *, blame: str) -> Shown:
    """Hold evidence against the ledger.

    Args:
        evidence: Of this sum.
        terms: The plan, from its reserve.
        roster: That the plan names, verified by the caller.
        settle: How the sum is said to have ended; certificates must hold at its time.
        blame: Who is named.

    Returns:
        What it shows.

    Raises:
        ProtocolError: It shows nothing, or something else than the ledger says.
    """
    shown = show(evidence, terms, roster, settle.time, blame=blame)
    counted = Members(
        advertised=len(evidence.adverts),
        sharing=len(evidence.u2),
        survivors=len(evidence.u3),
        noise_left=settle.members.noise_left,
    )
    if counted != settle.members:
        raise ProtocolError(
            f"evidence of {_words(counted)}, the ledger says {_words(settle.members)}", blame=blame
        )
    if settle.sets is None:
        raise ProtocolError("evidence of a sum that is said to have been without masks", blame=blame)
    found = sets_of(shown)
    for name in Sets.__struct_fields__:
        if not hmac.compare_digest(getattr(found, name), getattr(settle.sets, name)):
            raise ProtocolError(f"evidence of another set than the ledger says: {name}", blame=blame)
    return shown


def _words(members: Members) -> str:
    return f"{members.advertised} advertised, {members.sharing} sharing, {members.survivors} surviving"
