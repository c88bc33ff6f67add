"""The server's half of a private sum, as a machine without I/O: `step(state, replies) -> (state, effects)`.

It relays, adds up, and opens the sum of those who are left. A stage ends when its replies are handed in, all
at once; who has not answered by then has dropped out:

    Advertising --adverts-->  Sharing     U1: whose adverts hold
    Sharing     --shares-->   Masking     U2: who dealt to all its neighbours
    Masking     --vectors-->  Agreeing    U3: whose vector arrived and is signed
    Agreeing    --votes-->    Unmasking   a quorum of U3 saw these sets (malicious-server profile only)
    Unmasking   --reveals-->  Finished    the sum over U3
    any         --too few-->  Aborted     nothing is opened

Nothing that a device sends can raise here: it is left out and blamed.
"""

from functools import partial

import numpy as np

from covey import merkle
from covey.secagg.evidence import Evidence
from covey.secagg.members import leaf
from covey.secagg.messages import Vote
from covey.secagg.opening import Inputs, Unopened, open_sum
from covey.secagg.replies import (
    Replies,
    distinct,
    read_deals,
    read_member,
    read_reveal,
    read_vector,
    read_vote,
    sort_out,
)
from covey.secagg.requests import ask_for_vectors, ask_to_agree, ask_to_share, ask_to_unmask
from covey.secagg.stages import (
    TRANSITIONS,
    Aborted,
    Advertising,
    Agreeing,
    Blame,
    Deliver,
    Effect,
    Finished,
    Masking,
    Session,
    Sharing,
    State,
    Unmasking,
)
from covey.secagg.states import Stage
from covey.secagg.terms import Terms

__all__ = [
    "TRANSITIONS",
    "Aborted",
    "Advertising",
    "Agreeing",
    "Blame",
    "Deliver",
    "Effect",
    "Finished",
    "Masking",
    "Sharing",
    "State",
    "Unmasking",
    "step",
]

Stepped = tuple[State, tuple[Effect, ...]]


def step(state: State, replies: Replies, *, workers: int = 1) -> Stepped:
    """End a stage with what has arrived.

    Args:
        state: A state that waits.
        replies: In any order; duplicates, strangers' and other stages' are left out and blamed.
        workers: Threads that expand masks.

    Returns:
        The next state, then whom to blame and what to send.
    """
    if isinstance(state, Finished | Aborted):
        return state, tuple(Blame(sender, "answered after the end") for sender, _ in replies)
    after, effects = _stepped(state, replies, workers)
    if not any((type(state), type(after)) == (each.before, each.after) for each in TRANSITIONS):
        raise TypeError(f"no transition from {type(state).__name__} to {type(after).__name__}")
    return after, effects


def _stepped(
    state: Advertising | Sharing | Masking | Agreeing | Unmasking, replies: Replies, workers: int
) -> Stepped:
    match state:
        case Advertising():
            return _advertised(state, replies)
        case Sharing():
            return _shared(state, replies)
        case Masking():
            return _masked(state, replies)
        case Unmasking():
            return _revealed(state, replies, workers)
        case Agreeing():
            return _agreed(state, replies)


def _advertised(state: Advertising, replies: Replies) -> Stepped:
    terms = state.terms
    found, blamed = sort_out(replies, state.senders, partial(read_member, state))
    members, doubles = distinct(found.values())
    blamed += doubles
    needed = max(terms.plan.minimum, terms.suite.neighbours + 1)
    if len(members) < needed:
        return _aborted("advertise", len(members), needed, blamed)
    tree = merkle.Tree([leaf(member.advertised) for member in members])
    session = Session(terms, members, tree.root, _graph(terms, len(members), tree.root))
    return Sharing(session), (*blamed, ask_to_share(session, tree, state.before))


def _graph(terms: Terms, size: int, root: bytes) -> tuple[tuple[int, ...], ...]:
    if terms.complete:
        return tuple(terms.neighbours(size, root, position) for position in range(size))
    drawn = terms.graph(size, root)
    return tuple(drawn.neighbours(position) for position in range(size))


def _shared(state: Sharing, replies: Replies) -> Stepped:
    session = state.session
    position_of = session.senders(range(len(session.members)))
    found, blamed = sort_out(
        replies, position_of, lambda sender, data: read_deals(session, position_of[sender], data)
    )
    dealt = {position_of[sender]: deals for sender, deals in found.items()}
    u2 = tuple(sorted(dealt))
    if len(u2) < session.terms.plan.minimum:
        return _aborted("share", len(u2), session.terms.plan.minimum, blamed)
    deals = {dealer: {deal.position: deal for deal in dealt[dealer]} for dealer in u2}
    return Masking(session, u2, deals), (*blamed, ask_for_vectors(session, u2, deals))


def _masked(state: Masking, replies: Replies) -> Stepped:
    session, plan = state.session, state.session.terms.plan
    position_of, total = session.senders(state.u2), np.zeros(plan.length, np.uint32)
    found, blamed = sort_out(
        replies, position_of, lambda sender, data: read_vector(state, total, position_of[sender], data)
    )
    inputs = tuple(sorted(found.values(), key=lambda proof: proof.position))
    u3 = tuple(proof.position for proof in inputs)
    if len(u3) < plan.minimum:
        return _aborted("masked", len(u3), plan.minimum, blamed)
    after = Agreeing(session, state.u2, u3, state.deals, total, inputs)
    if not session.terms.complete:
        unmasking = _unmasking(after, ())
        return unmasking, (*blamed, ask_to_unmask(unmasking, ()))
    return after, (*blamed, ask_to_agree(after))


def _agreed(state: Agreeing, replies: Replies) -> Stepped:
    position_of = state.session.senders(state.u3)
    found, blamed = sort_out(
        replies, position_of, lambda sender, data: read_vote(state, position_of[sender], data)
    )
    votes = {position_of[sender]: signature for sender, signature in found.items()}
    quorum = state.session.terms.threshold(len(state.session.members))
    if len(votes) < quorum:
        return _aborted("consistency", len(votes), quorum, blamed)
    ballots = tuple(Vote(place, votes[place]) for place in sorted(votes)[:quorum])
    unmasking = _unmasking(state, ballots)
    return unmasking, (*blamed, ask_to_unmask(unmasking, votes))


def _unmasking(state: Agreeing, votes: tuple[Vote, ...]) -> Unmasking:
    return Unmasking(state.session, state.u2, state.u3, state.deals, state.total, state.inputs, votes)


def _revealed(state: Unmasking, replies: Replies, workers: int) -> Stepped:
    session = state.session
    position_of = session.senders(state.u3)
    found, blamed = sort_out(
        replies, position_of, lambda sender, data: read_reveal(state, position_of[sender], data)
    )
    inputs = Inputs(
        terms=session.terms,
        adverts=[member.advert for member in session.members],
        graph=session.graph,
        u2=state.u2,
        u3=state.u3,
        total=state.total,
        deals=state.deals,
        reveals={position_of[sender]: revealed for sender, revealed in found.items()},
    )
    opened = open_sum(inputs, workers=workers)
    blamed += [Blame(session.members[place].sender, reason) for place, reason in opened.blamed]
    if isinstance(opened, Unopened):
        return _ended("unmask", opened.reason, blamed)
    u1, u2, u3 = (
        tuple(map(session.name, each)) for each in (range(len(session.members)), state.u2, state.u3)
    )
    adverts = tuple(member.advertised for member in session.members)
    evidence = Evidence(adverts, state.u2, state.u3, state.inputs, state.votes)
    return Finished(opened.total, u1, u2, u3, session.root, opened.noise_left, evidence), tuple(blamed)


def _aborted(stage: Stage, count: int, needed: int, blamed: list[Blame]) -> Stepped:
    return _ended(stage, f"{count} devices are left at stage {stage}, {needed} are needed", blamed)


def _ended(stage: Stage, reason: str, blamed: list[Blame]) -> Stepped:
    first = f"; first refusal: {blamed[0].reason}" if blamed else ""
    return Aborted(stage, reason + first), tuple(blamed)
