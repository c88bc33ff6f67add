"""A device's half of a private sum, as a machine without I/O: `step(me, state, event) -> (state, effects)`.

One session is one plan. Its transitions:

    (none)      --open-->        Advertising   train first, open after
    Advertising --cohort-->      Sharing       U1 checked; shares of r and b sealed for every peer
    Sharing     --partners-->    Masking       U2 checked; the noisy, masked vector
    Masking     --survivors-->   Agreeing      U1, U2 as used, U3 large enough; signed
    Agreeing    --unmask-->      Closed        every input and a quorum checked; keys erased

In the semi-honest-server profile there is no consistency round: Masking --unmask--> Closed. Every reply is
claimed durably before it is sent. An error leaves the state as it was: nothing has left the device. The same
request again gets the same bytes again; another request at a stage that was answered is refused.

Source: Bonawitz et al., CCS 2017, eprint 2017/281, figure 4, with the changes of docs/adr/0008.
"""

import hashlib
from typing import Final

import msgspec

from covey import ring
from covey.errors import ProtocolError
from covey.identity import public_of, read_roster, sign
from covey.secagg.dealing import Secrets, deal
from covey.secagg.diagram import Transition, find
from covey.secagg.keys import commitment
from covey.secagg.masked_input import masked_input
from covey.secagg.members import check_memory, read_cohort
from covey.secagg.messages import (
    Advert,
    Advertised,
    Cohort,
    Message,
    Partners,
    Shared,
    Survivors,
    ToDevice,
    Unmask,
    decode,
    encode,
)
from covey.secagg.revealing import agree_to, reveal_agreed, reveal_trusting
from covey.secagg.states import (
    STAGE_OF,
    Advertising,
    Agreeing,
    AnyState,
    Claim,
    Closed,
    Effect,
    Event,
    Masking,
    Me,
    Open,
    Replied,
    Send,
    Sharing,
    Stage,
)

TRANSITIONS: Final = (
    Transition(None, "open", Advertising),
    Transition(Advertising, "cohort", Sharing),
    Transition(Sharing, "partners", Masking),
    Transition(Masking, "survivors", Agreeing, "malicious-server"),
    Transition(Masking, "unmask", Closed, "semi-honest-server"),
    Transition(Agreeing, "unmask", Closed),
)
"""What is not here is refused."""


def step(me: Me, state: AnyState | None, event: Event) -> tuple[AnyState, tuple[Effect, ...]]:
    """One event.

    Args:
        me: The device.
        state: None before a plan is opened; another plan's state may be given and is dropped by `Open`.
        event: What happened.

    Returns:
        The next state and what to do, in this order; if a `Claim` fails, nothing after it may happen.

    Raises:
        ProtocolError: Refused; the state given stays valid. Names whom it blames.
    """
    if isinstance(event, Open):
        if state is not None and state.plan == event.envelope.sent:
            return state, (Send(_advert_of(state)),)
        return _open(me, event)
    if state is None:
        raise ProtocolError("a request without an open plan", blame="server")
    request: ToDevice = decode(event.data, ToDevice, blame="server", limit=state.terms.limit)
    stage, digest = STAGE_OF[type(request)], hashlib.sha256(event.data).digest()
    for replied in state.replies:
        if replied.stage == stage:
            if replied.request != digest:
                raise ProtocolError(f"a second, different request at stage {stage}", blame="server")
            return state, (Send(replied.reply),)
    after, reply = _answered(me, state, request, event.now)
    return _replied(after, state, stage, digest, encode(reply))


def _replied(
    after: AnyState, before: AnyState, stage: Stage, digest: bytes, reply: bytes
) -> tuple[AnyState, tuple[Effect, ...]]:
    remembered = (*before.replies, Replied(stage, digest, reply))
    if isinstance(after, Closed):  # the vector is not needed any more
        remembered = tuple(each for each in remembered if each.stage != "masked")
    new: AnyState = msgspec.structs.replace(after, replies=remembered)
    plan = before.terms.plan
    return new, (Claim(plan.run, plan.sum, stage, digest), Send(reply))


def _answered(me: Me, state: AnyState, request: ToDevice, now: int) -> tuple[AnyState, Message]:
    name = type(request).__name__.lower()
    if find(TRANSITIONS, state, name, state.terms.suite.profile) is None:
        raise ProtocolError(f"{name} while {type(state).__name__.lower()}", blame="server")
    match state, request:
        case Advertising(), Cohort():
            return _share(me, state, request, now)
        case Sharing(), Partners():
            return masked_input(me, state, request)
        case Masking(), Survivors():
            return agree_to(me, state, request)
        case Masking(), Unmask():
            return reveal_trusting(state, request)
        case Agreeing(), Unmask():
            return reveal_agreed(me, state, request)
        case _:
            raise TypeError("a transition that nobody carries out")


def _advert_of(state: AnyState) -> bytes:
    """What was sent when this plan was opened: there is never another advert for it."""
    return next(each.reply for each in state.replies if each.stage == "advertise")


def _open(me: Me, event: Open) -> tuple[AnyState, tuple[Effect, ...]]:
    opened, terms = event.envelope, event.envelope.terms
    if event.vector.shape != (terms.plan.length,):
        raise ValueError(f"a vector of shape {event.vector.shape} for a plan of {terms.plan.length}")
    secrets = Secrets.of(terms, event.seed)
    advert = Advert(
        plan=terms.digest,
        device=me.device,
        seal_key=secrets.seal_keys().public,
        mask_key=secrets.mask_keys(terms).public,
        commitment=commitment(secrets.b),
        counter=event.counter,
        leaf=event.leaf,
    )
    body = encode(advert)
    advertised = Advertised(body, sign(me.private, "advert", body))
    reply = encode(advertised)
    state = Advertising(
        plan=opened.sent,
        replies=(Replied("advertise", terms.digest, reply),),
        roster=opened.roster_sent,
        secrets=secrets,
        noise=event.noise,
        vector=ring.to_bytes(ring.wrap(event.vector)),
        advert=advertised,
    )
    return state, (Claim(terms.plan.run, terms.plan.sum, "advertise", terms.digest), Send(reply))


def _share(me: Me, state: Advertising, request: Cohort, now: int) -> tuple[AnyState, Message]:
    terms = state.terms
    roster = read_roster(
        state.roster, me.enrolment, now=now, least_serial=0
    )  # its serial was checked with the plan
    view = read_cohort(request, terms, roster, state.advert, now)
    if terms.plan.policy is not None:  # others are not counted
        check_memory(request.before, state.advert, public_of(me.private))
    dealt = deal(terms, state.secrets, view, me.private)
    after = Sharing(
        plan=state.plan,
        replies=(),
        secrets=state.secrets,
        noise=state.noise,
        vector=state.vector,
        view=view,
        own=dealt.own,
    )
    return after, Shared(view.root, dealt.deals)
