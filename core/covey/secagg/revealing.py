"""Consistency and Unmask on the device: which sets it signs, and what it reveals to whom."""

from collections.abc import Mapping

from covey.errors import ProtocolError
from covey.identity import public_of, sign, verify
from covey.noise.contribution import due
from covey.secagg.members import Neighbourhood, check_set
from covey.secagg.messages import Agreed, Held, Message, OpenShare, Positions, Revealed, Survivors, Unmask
from covey.secagg.states import Agreeing, AnyState, Closed, Masking, Me
from covey.secagg.terms import Terms, input_statement, set_digest, vote_statement


def agree_to(me: Me, state: Masking, request: Survivors) -> tuple[AnyState, Message]:
    """Sign the sets, if they are those that this device's vector is for and U3 is large enough."""
    terms, view = state.terms, state.view
    if request.root != view.root or request.u2 != state.u2:
        raise ProtocolError("U1 or U2 are not those that this device's vector is for", blame="server")
    check_set("U3", request.u3, set(state.u2), view.position)
    if len(request.u3) < terms.plan.minimum:
        raise ProtocolError(
            f"U3 has {len(request.u3)} members, the minimum is {terms.plan.minimum}", blame="server"
        )
    statement = vote_statement(terms, view.root, *_digests(view, state.u2, request.u3))
    after = Agreeing(
        plan=state.plan,
        replies=(),
        view=view,
        u2=state.u2,
        u3=request.u3,
        held=state.held,
        removal=state.removal,
    )
    return after, Agreed(sign(me.private, "cc", statement))


def reveal_agreed(me: Me, state: Agreeing, request: Unmask) -> tuple[AnyState, Message]:
    """Reveal, if every member of U3 proves its vector for these sets and a quorum of U3 saw the same U3."""
    terms, view = state.terms, state.view
    if request.u3 != state.u3 or request.count != len(state.u3):
        raise ProtocolError("U3 is not the one that this device signed", blame="server")
    identities = {peer.position: peer.identity for peer in view.peers} | {
        view.position: public_of(me.private)
    }
    u2, u3 = _digests(view, state.u2, state.u3)
    _check_inputs(terms, state, request, identities, u2)
    _check_votes(terms, state, request, identities, vote_statement(terms, view.root, u2, u3))
    noise = due(state.removal, len(state.u2) - terms.plan.minimum, len(state.u2) - len(state.u3))
    return Closed(plan=state.plan, replies=()), _reveal(state.held, set(state.u3), noise)


def _check_inputs(
    terms: Terms, state: Agreeing, request: Unmask, identities: Mapping[int, bytes], u2: bytes
) -> None:
    """Every member of U3 signed a vector for this device's U1 and U2: all masks are for the same sets."""
    if tuple(each.position for each in request.inputs) != state.u3:
        raise ProtocolError("not one input proof from every member of U3", blame="server")
    for proof in request.inputs:
        statement = input_statement(terms, state.view.root, u2, proof.vector)
        verify(identities[proof.position], "mi", statement, proof.signature, blame="server")


def _check_votes(
    terms: Terms, state: Agreeing, request: Unmask, identities: Mapping[int, bytes], statement: bytes
) -> None:
    """A quorum of U3 saw these sets. Of two quorums one honest device would be in both, and it votes once."""
    voters = {vote.position for vote in request.votes}
    if len(voters) != len(request.votes) or not voters <= set(state.u3):
        raise ProtocolError("votes that are repeated or from outside U3", blame="server")
    if len(voters) < terms.threshold(state.view.size):
        raise ProtocolError(f"{len(voters)} votes are no quorum", blame="server")
    for vote in request.votes:
        verify(identities[vote.position], "cc", statement, vote.signature, blame="server")


def reveal_trusting(state: Masking, request: Unmask) -> tuple[AnyState, Message]:
    """Reveal on the server's word: the semi-honest-server profile."""
    terms, view = state.terms, state.view
    if request.inputs or request.votes:
        raise ProtocolError("proofs that nobody asked for", blame="server")
    check_set("U3", request.u3, set(state.u2), view.position)
    gone = len(state.u2) - len(request.u3)  # of those that this device knows
    if not max(terms.plan.minimum, len(request.u3)) <= request.count <= state.count - gone:
        raise ProtocolError(f"|U3| is said to be {request.count}", blame="server")
    noise = due(state.removal, state.count - terms.plan.minimum, state.count - request.count)
    return Closed(plan=state.plan, replies=()), _reveal(state.held, set(request.u3), noise)


def _reveal(held: tuple[tuple[int, Held], ...], u3: set[int], noise_seed: bytes | None) -> Revealed:
    """Of each dealer one kind of share, never both."""
    b = tuple(OpenShare(place, each.share_b, each.blind_b) for place, each in held if place in u3)
    r = tuple(OpenShare(place, each.share_r, each.blind_r) for place, each in held if place not in u3)
    return Revealed(b, r, noise_seed)


def _digests(view: Neighbourhood, u2: Positions, u3: Positions) -> tuple[bytes, bytes]:
    return set_digest(view.root, u2), set_digest(view.root, u3)
