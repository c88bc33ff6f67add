"""A server that shows different devices different things, with colluders that say whatever it likes."""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from covey import ring
from covey.errors import ProtocolError
from covey.identity import sign
from covey.secagg import shamir
from covey.secagg.dealing import mask_keys
from covey.secagg.graph import quorum
from covey.secagg.masks import Mask, add_masks
from covey.secagg.messages import Agreed, Cohort, Masked, Partners, Revealed, Survivors, Unmask, Vote, encode
from covey.secagg.stages import Agreeing
from covey.secagg.states import Masking
from covey.secagg.terms import Terms, set_digest, vote_statement
from secagg_attacks import changed, read, refused
from secagg_fleet import Fleet, identity, make_plan, roster, vectors

SIZE, T = 12, 7
VICTIM = 0


def node(position: int) -> int:
    return position + 2


class Attack:
    """Everyone has sent a vector; then honest devices are told two stories about the victim."""

    def __init__(self, colluders: int) -> None:
        self.fleet = Fleet(make_plan(SIZE), vectors(SIZE))
        self.fleet.until("consistency")
        state = self.fleet.states[-1]
        assert isinstance(state, Agreeing)
        self.state = state
        self.colluders = tuple(range(SIZE - colluders, SIZE))
        self.u3 = {True: tuple(range(SIZE)), False: tuple(range(1, SIZE))}
        self.held = {each: self._memory(each) for each in self.colluders}

    def _memory(self, position: int) -> Masking:
        memory = self.fleet.devices[node(position)].state
        assert isinstance(memory, Masking)
        return memory

    def votes(self, group: Iterable[int], *, alive: bool) -> dict[int, bytes]:
        """Honest devices sign the story they are told; colluders sign both."""
        root, u3 = self.state.session.root, self.u3[alive]
        request = encode(Survivors(root, self.state.u2, u3))
        cast = {each: read(self.fleet.devices[node(each)].ask(request), Agreed).signature for each in group}
        sets = (set_digest(root, each) for each in (self.state.u2, u3))
        statement = vote_statement(self.state.session.terms, root, *sets)
        return cast | {each: sign(identity(each), "cc", statement) for each in self.colluders}

    def shares(self, group: Iterable[int], votes: Mapping[int, bytes], *, alive: bool) -> dict[int, bytes]:
        """The victim's b or r, as far as honest devices reveal it; colluders know both."""
        inputs = tuple(each for each in self.state.inputs if alive or each.position != VICTIM)
        cast = tuple(Vote(each, votes[each]) for each in sorted(votes))
        request = encode(Unmask(self.u3[alive], len(self.u3[alive]), inputs, cast))
        found = {
            each: held.share_b if alive else held.share_r
            for each, memory in self.held.items()
            for dealer, held in memory.held
            if dealer == VICTIM
        }
        for each in group:
            try:
                revealed = read(self.fleet.devices[node(each)].ask(request), Revealed)
            except ProtocolError:
                continue
            opened = {share.position: share.share for share in (revealed.b if alive else revealed.r)}
            found[each] = opened[VICTIM]
        return found

    def vector(self, b: Mapping[int, bytes], r: Mapping[int, bytes]) -> NDArray[np.int64] | None:
        """The victim's vector alone, if both its secrets can be had."""
        if min(len(b), len(r)) < T:
            return None
        terms, members = self.state.session.terms, self.state.session.members
        seeds = [combined(each) for each in (b, r)]
        keys = mask_keys(terms, seeds[1])
        assert keys.public == members[VICTIM].advert.mask_key
        masks = [Mask(terms.self_mask(seeds[0]), -1)]
        for other in range(1, SIZE):
            public = members[other].advert.mask_key
            shared = keys.agree(public, blame="test")
            mask = terms.pair_mask(shared, (VICTIM, keys.public), (other, public))
            masks.append(Mask(mask.key, -1 if mask.sign == 1 else 1))
        masked = read(dict(self.fleet.replies["masked"])[node(VICTIM)], Masked)
        alone = np.asarray(ring.unpack(masked.vector, terms.plan.length, terms.suite.bits))
        add_masks(alone, masks, "chacha20")
        return ring.centre(alone)

    def run(self, told_alive: Iterable[int]) -> tuple[NDArray[np.int64] | None, int, int]:
        first = tuple(told_alive)
        honest = set(range(SIZE)) - set(self.colluders)
        second = tuple(sorted(honest - set(first)))
        votes = {True: self.votes(first, alive=True), False: self.votes(second, alive=False)}
        b = self.shares(first, votes[True], alive=True)
        r = self.shares(second, votes[False], alive=False)
        return self.vector(b, r), len(b), len(r)


def combined(shares: Mapping[int, bytes]) -> bytes:
    holders = sorted(shares)[:T]
    weights = shamir.weights([each + 1 for each in holders])
    return shamir.combine([shares[each] for each in holders], weights)


@pytest.mark.parametrize("told_alive", range(1, 12))
def test_with_as_many_colluders_as_planned_no_split_gives_b_and_r_of_one_device(told_alive: int) -> None:
    vector, b, r = Attack(colluders=1).run(range(told_alive))
    assert vector is None
    assert min(b, r) < T


def test_with_one_colluder_more_than_planned_the_same_attack_reads_the_victims_vector() -> None:
    """The quorum is as small as it can be: C_max is what the guarantee stands on."""
    attack = Attack(colluders=2)
    vector, b, r = attack.run(range(5))
    assert (b, r) == (T, T)
    assert vector is not None
    assert (vector == attack.fleet.vectors[VICTIM]).all()


@pytest.mark.parametrize("corrupt", [1, 2, 5])
def test_no_split_of_the_honest_gives_two_quorums(corrupt: int) -> None:
    for size in range(max(10, corrupt + 2), 501):
        needed = quorum(size, corrupt) - corrupt  # honest votes to each story
        assert 2 * needed > size - corrupt


def test_devices_shown_different_u1_deal_and_vote_for_different_sums() -> None:
    """Half of them see a cohort without the victim. Neither half accepts the other half's shares."""
    sums = Fleet(make_plan(), vectors(12))
    sums.until("share")
    whole, without = Fleet(make_plan(), vectors(12)), Fleet(make_plan(), vectors(12))
    whole.until("masked")
    without.until("masked", {"advertise": {node(VICTIM)}})
    first = whole.requests["masked"][node(3)]
    second = without.requests["masked"][node(4)]
    foreign = read(second, Partners).deals
    deals = read(first, Partners).deals
    mixed = (*deals[:4], msgspec.structs.replace(foreign[3], position=5), *deals[5:])
    refused(whole.devices[node(3)], changed(first, Partners, deals=mixed), r"signature \(deal\)")


def test_devices_shown_different_u2_do_not_open_the_sum() -> None:
    """The victim's partners differ from what the others were told: its vector is signed for another U2."""
    sums = Fleet(make_plan(), vectors(12))
    requests = dict(sums.until("masked"))
    deals = read(requests[node(VICTIM)], Partners).deals
    requests[node(VICTIM)] = encode(Partners(tuple(range(11)), 11, deals[:-1]))
    sums.replies["masked"] = [(each, sums.devices[each].ask(data)) for each, data in requests.items()]
    deliver = sums.end_stage("masked")
    assert [blame.sender for blame in sums.blames] == [node(VICTIM)]  # an honest server leaves it out
    assert deliver is not None
    told = encode(
        Survivors(read(deliver.requests[node(3)], Survivors).root, tuple(range(12)), tuple(range(12)))
    )
    refused(sums.devices[node(VICTIM)], told, "U1 or U2 are not those")


def test_devices_with_different_plans_share_no_session() -> None:
    """Another model, another round: another H(plan). Nobody accepts an advert for it."""
    plan = make_plan()
    other = msgspec.structs.replace(plan, model_sha256="1" * 64)
    one, two = Fleet(plan, vectors(12)), Fleet(other, vectors(12))
    one.until("share")
    two.until("share")
    refused(one.devices[5], two.requests["share"][5], "an advert for another plan")
    one.replies["advertise"][3] = two.replies["advertise"][3]
    again = Fleet(plan, vectors(12))
    again.begin(set())
    again.replies["advertise"][3] = two.replies["advertise"][3]
    again.end_stage("advertise")
    assert [(blame.sender, blame.reason) for blame in again.blames] == [
        (5, "node 5: an advert for another plan")
    ]


def test_masks_of_devices_with_different_plans_do_not_cancel() -> None:
    """Even the same keys give other masks under another plan (Pasquini et al., arXiv:2111.07380)."""
    sent = Fleet(make_plan(), vectors(12)).sent
    other = Fleet(msgspec.structs.replace(make_plan(), model_sha256="1" * 64), vectors(12)).sent
    keys = [Terms.of(each).pair_mask(bytes(32), (0, b"u"), (1, b"v")).key for each in (sent, other)]
    assert keys[0] != keys[1]


def test_the_two_ends_of_a_pair_add_and_take_away_one_mask() -> None:
    terms = Fleet(make_plan(), vectors(12)).terms
    one = terms.pair_mask(bytes(32), (0, b"u"), (1, b"v"))
    two = terms.pair_mask(bytes(32), (1, b"v"), (0, b"u"))
    assert one.key == two.key
    assert {one.sign, two.sign} == {1, -1}


def test_a_small_u1_does_not_make_colluders_the_majority() -> None:
    """The smallest cohort shown to a device still has its minimum, and a quorum counted on its own size."""
    sums = Fleet(make_plan(minimum=8, corrupt=3), vectors(12))
    request = sums.until("share", {"advertise": set(range(6, 10))})[2]
    terms = sums.terms
    assert read(request, Cohort).size == 8
    assert terms.threshold(8) == 6
    assert terms.plan.honest == 5


def test_one_member_of_another_fleets_roster_is_refused() -> None:
    """A cohort of the server's own devices needs them in the roster, which another key signs."""
    sums = Fleet(make_plan(), vectors(12), signed=roster(12))
    sybils = Fleet(make_plan(14, signed=roster(12)), vectors(14), signed=roster(14))
    with pytest.raises(ProtocolError, match="another roster"):
        sybils.devices[2].open(sybils.envelope)
    sums.until("share")
    assert hashlib.sha256(sums.signed).hexdigest() == sums.plan.roster.sha256  # type: ignore[union-attr]
