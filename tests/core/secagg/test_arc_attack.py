"""Why the semi-honest-server profile is what its name says: the server of this test is not.

It waits until it knows the ring, then says of the neighbours on both sides of an arc that they dropped out:
to each of them of all others, to everyone else of all of them. Every check that a device makes holds, and
what the server gets opens the arc alone.
"""

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from covey import ring
from covey.errors import ProtocolError
from covey.plan import Suite
from covey.secagg import shamir
from covey.secagg.dealing import mask_keys
from covey.secagg.masks import Mask, add_masks
from covey.secagg.messages import Agreed, Masked, Revealed, Survivors, Unmask, Vote, encode
from covey.secagg.stages import Agreeing, Unmasking
from secagg_attacks import read
from secagg_fleet import Fleet, make_plan, vectors

SIZE, NEIGHBOURS, T, MINIMUM = 40, 6, 4, 24
SPARSE = Suite(profile="semi-honest-server", cipher="chacha20", bits=32, neighbours=NEIGHBOURS, threshold=T)


def opened(shares: dict[int, bytes], threshold: int) -> bytes:
    """A secret from shares by holder."""
    assert len(shares) >= threshold
    holders = sorted(shares)[:threshold]
    return shamir.combine([shares[each] for each in holders], shamir.weights([each + 1 for each in holders]))


def collected(reveals: dict[int, Revealed], kind: str, dealer: int) -> dict[int, bytes]:
    return {
        holder: share.share
        for holder, revealed in reveals.items()
        for share in getattr(revealed, kind)
        if share.position == dealer
    }


def unmasked(
    sums: Fleet,
    state: Agreeing,
    members: Iterable[int],
    partners: Iterable[int],
    reveals: dict[int, Revealed],
) -> NDArray[np.int64]:
    """The sum over `members`, without the pair masks that they share with `partners`."""
    terms, threshold = sums.terms, sums.terms.threshold(SIZE)
    adverts = [member.advert for member in state.session.members]
    total, masks = np.zeros(terms.plan.length, np.uint32), []
    for member in members:
        masked = read(dict(sums.replies["masked"])[member + 2], Masked)
        total += ring.unpack(masked.vector, terms.plan.length, 32)
        masks.append(Mask(terms.self_mask(opened(collected(reveals, "b", member), threshold)), -1))
        for gone in partners:
            if gone in state.session.graph[member]:
                keys = mask_keys(terms, opened(collected(reveals, "r", gone), threshold))
                public = adverts[member].mask_key
                shared = keys.agree(public, blame="test")
                masks.append(terms.pair_mask(shared, (gone, keys.public), (member, public)))
    add_masks(total, masks, "chacha20")
    return ring.centre(total)


@pytest.mark.parametrize("arc", [1, 2, 5])
@pytest.mark.parametrize("serial", range(1, 4))
def test_on_a_sparse_graph_a_server_that_lies_isolates_an_arc_with_every_check_satisfied(
    arc: int, serial: int
) -> None:
    sums = Fleet(make_plan(SIZE, minimum=MINIMUM, suite=SPARSE, serial=serial), vectors(SIZE))
    sums.until("unmask")
    state = sums.states[-1]
    assert isinstance(state, Unmasking)
    around = sums.terms.graph(SIZE, state.session.root).ring
    half = NEIGHBOURS // 2
    inside = around[half : half + arc]
    gap = {*around[:half], *around[half + arc : 2 * half + arc]}
    reveals = {}
    for position in range(SIZE):
        left_out = gap - {position}
        known = sorted((*state.session.graph[position], position))
        told = tuple(each for each in known if each not in left_out)
        request = encode(Unmask(told, SIZE - len(left_out)))
        reveals[position] = read(sums.devices[position + 2].ask(request), Revealed)  # nobody refuses
    alone = unmasked(sums, state, inside, gap, reveals)
    assert (alone == sums.vectors[list(inside)].sum(axis=0)).all()


def test_in_the_malicious_server_profile_the_same_lies_open_no_arc() -> None:
    """Two stories need two quorums: whoever is told the rarer one refuses, and U3 has one sum only."""
    sums = Fleet(make_plan(SIZE, minimum=MINIMUM), vectors(SIZE))
    sums.until("consistency")
    state = sums.states[-1]
    assert isinstance(state, Agreeing)
    inside, gap = (6, 7), {0, 1, 2, 3, 4, 5}
    stories = {
        position: tuple(each for each in range(SIZE) if each not in gap - {position})
        for position in range(SIZE)
    }
    votes = {}
    for position, story in stories.items():
        request = encode(Survivors(state.session.root, state.u2, story))
        votes[position] = read(sums.devices[position + 2].ask(request), Agreed).signature
    reveals, refused = {}, set()
    for position, story in stories.items():
        same = [each for each in story if stories[each] == story]
        inputs = tuple(proof for proof in state.inputs if proof.position in story)
        cast = tuple(Vote(each, votes[each]) for each in same)
        request = encode(Unmask(story, len(story), inputs, cast))
        if len(same) < sums.terms.threshold(SIZE):
            refused.add(position)
            with pytest.raises(ProtocolError, match=f"{len(same)} votes are no quorum"):
                sums.devices[position + 2].ask(request)
        else:
            reveals[position] = read(sums.devices[position + 2].ask(request), Revealed)
    assert refused == gap
    told = stories[10]
    whole = unmasked(sums, state, told, gap, reveals)
    assert (whole == sums.vectors[list(told)].sum(axis=0)).all()  # what it is meant to open
    alone = unmasked(sums, state, inside, gap, reveals)
    assert not (alone == sums.vectors[list(inside)].sum(axis=0)).any()


def test_in_the_malicious_server_profile_no_device_signs_an_arc_as_u3() -> None:
    sums = Fleet(make_plan(SIZE, minimum=MINIMUM), vectors(SIZE))
    sums.until("consistency")
    state = sums.states[-1]
    assert isinstance(state, Agreeing)
    for arc in (1, 5, MINIMUM - 1):
        request = encode(Survivors(state.session.root, state.u2, tuple(range(arc))))
        with pytest.raises(ProtocolError, match=f"U3 has {arc} members, the minimum is {MINIMUM}"):
            sums.devices[2].ask(request)
