"""MaskedInput on the device: U2 checked, shares received, noise and masks added, the vector signed."""

import hashlib

import numpy as np

from covey import ring
from covey.errors import ProtocolError
from covey.identity import sign
from covey.noise.contribution import contribute
from covey.plan import noise_shares
from covey.secagg.dealing import Secrets, receive
from covey.secagg.masks import Mask, add_masks
from covey.secagg.members import Neighbourhood, check_set
from covey.secagg.messages import Masked, Partners, Positions
from covey.secagg.states import Masking, Me, Sharing
from covey.secagg.terms import Terms, input_statement, set_digest


def masked_input(me: Me, state: Sharing, request: Partners) -> tuple[Masking, Masked]:
    """The vector for U2; see `covey.secagg.device`.

    Raises:
        ProtocolError: U2 is not one to send a vector for, or a share is not what its dealer signed.
    """
    terms, view = state.terms, state.view
    _check_partners(terms, view, request)
    seal = state.secrets.seal_keys()
    held = [(each.position, receive(terms, seal, view, each)) for each in request.deals]
    if state.own is not None:
        held = sorted([*held, (view.position, state.own)], key=lambda pair: pair[0])
    vector = np.asarray(ring.from_bytes(state.vector, terms.plan.length))
    first = _add_noise(vector, terms, request.count, state.noise)
    add_masks(vector, _masks(terms, state.secrets, view, request.u2), terms.suite.cipher, workers=me.workers)
    packed = ring.pack(vector, terms.suite.bits)
    digest = hashlib.sha256(packed).digest()
    statement = input_statement(terms, view.root, set_digest(view.root, request.u2), digest)
    after = Masking(
        plan=state.plan,
        replies=(),
        view=view,
        u2=request.u2,
        count=request.count,
        held=tuple(held),
        removal=first,
    )
    return after, Masked(packed, sign(me.private, "mi", statement))


def _check_partners(terms: Terms, view: Neighbourhood, request: Partners) -> None:
    """U2 must hold this device and enough others: U2 = {victim} would show the victim's vector."""
    known = {peer.position for peer in view.peers} | {view.position}
    check_set("U2", request.u2, known, view.position)
    threshold = terms.threshold(view.size)
    partners = len(request.u2) if terms.complete else len(request.u2) - 1  # who hold this device's shares
    others = view.size - len(known)  # whom it cannot see
    if not len(request.u2) <= request.count <= len(request.u2) + others:
        raise ProtocolError(f"|U2| is said to be {request.count}", blame="server")
    if request.count < terms.plan.minimum or partners < threshold:
        raise ProtocolError(f"U2 has {request.count} members, too few", blame="server")
    expected = [position for position in request.u2 if position != view.position]
    if [each.position for each in request.deals] != expected:
        raise ProtocolError("not one deal from every other member of U2", blame="server")


def _add_noise(vector: ring.Ring, terms: Terms, sharing: int, key: bytes) -> bytes | None:
    """Add this device's noise in place; returns the seed of what may be removed, if anything may."""
    plan = terms.plan
    if plan.noise is None:
        return None
    own = contribute(plan.noise.mechanism, noise_shares(plan, sharing), plan.length, key)
    np.add(vector, ring.wrap(own.noise), out=vector)
    return own.first


def _masks(terms: Terms, secrets: Secrets, view: Neighbourhood, u2: Positions) -> list[Mask]:
    keys = secrets.mask_keys(terms)
    own = view.position, keys.public
    masks = [Mask(terms.self_mask(secrets.b), 1)]
    for peer in view.peers:
        if peer.position in u2:
            shared = keys.agree(peer.mask_key, blame=peer.device)
            masks.append(terms.pair_mask(shared, own, (peer.position, peer.mask_key)))
    return masks
