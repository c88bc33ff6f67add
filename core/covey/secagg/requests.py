"""What the server sends at each stage, by whom it is for."""

from collections.abc import Iterable, Mapping

from covey import merkle
from covey.errors import ProtocolError
from covey.identity import verify
from covey.secagg.messages import Advertised, Cohort, Deal, Entry, Partners, Survivors, Unmask, encode
from covey.secagg.stages import Agreeing, Deals, Deliver, Member, Session, Unmasking


def ask_to_share(session: Session, tree: merkle.Tree, before: Mapping[str, Advertised]) -> Deliver:
    """U1, to all its members, and to each what it has advertised before."""
    complete, everyone = session.terms.complete, range(len(session.members))
    entries = [  # each is shown to many
        Entry(place, member.advertised, () if complete else tree.path(place))
        for place, member in enumerate(session.members)
    ]
    requests = {}
    for position, member in enumerate(session.members):
        known = tuple(entries[place] for place in session.known(position, everyone))
        own = _signed_before(member, before)
        requests[member.sender] = encode(Cohort(len(everyone), session.root, position, known, own))
    return Deliver("share", requests)


def _signed_before(member: Member, before: Mapping[str, Advertised]) -> Advertised | None:
    """The member's advert on record; not what its name signed with the key of an earlier enrolment."""
    found = before.get(member.advert.device)
    if found is None:
        return None
    try:
        verify(member.identity, "advert", found.body, found.signature, blame=member.advert.device)
    except ProtocolError:
        return None
    return found


def ask_for_vectors(session: Session, u2: tuple[int, ...], deals: Deals) -> Deliver:
    """U2 and the shares that its members dealt, to all of U2."""
    among = frozenset(u2)
    requests = {}
    for position in u2:
        near = session.known(position, among)
        relayed = tuple(_relayed(dealer, deals[dealer][position]) for dealer in near if dealer != position)
        requests[session.members[position].sender] = encode(Partners(near, len(u2), relayed))
    return Deliver("masked", requests)


def _relayed(dealer: int, deal: Deal) -> Deal:
    return Deal(dealer, deal.box, deal.commitment_r, deal.commitment_b, deal.signature)


def ask_to_agree(state: Agreeing) -> Deliver:
    """U1, U2 and U3, to all of U3."""
    request = encode(Survivors(state.session.root, state.u2, state.u3))
    return Deliver("consistency", dict.fromkeys(state.session.senders(state.u3), request))


def ask_to_unmask(state: Unmasking, voters: Iterable[int]) -> Deliver:
    """The proofs, to those who voted; in the semi-honest-server profile U3, to all of it."""
    session = state.session
    if session.terms.complete:
        request = encode(Unmask(state.u3, len(state.u3), state.inputs, state.votes))
        return Deliver("unmask", {session.members[place].sender: request for place in sorted(voters)})
    among = frozenset(state.u3)
    requests = {
        session.members[place].sender: encode(Unmask(session.known(place, among), len(state.u3)))
        for place in state.u3
    }
    return Deliver("unmask", requests)
