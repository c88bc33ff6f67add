from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from covey import clear, ring
from covey import plan as plans
from covey.clear import Aborted, Answer, Answered, Answering, Finished, Removal, Removed, Removing
from covey.encode import Part
from covey.errors import PlanRefused, ProtocolError
from covey.noise.contribution import contribute
from covey.plan import Noise, Plan, RosterReference, Suite, Validate
from covey.secagg.messages import encode

Vectors = NDArray[np.int64]

NODES = tuple(range(2, 8))
LENGTH = 4
QUIET = Plan(
    run="run",
    sum=1,
    round=1,
    model="model",
    model_sha256="0" * 64,
    preprocessing=None,
    task=Validate(1),
    parts=(Part("values", LENGTH, 1.0, 1000.0),),
    unit="device",
    norm=1000,
    cohort=len(NODES),
    minimum=3,
    masks="none",
)
NOISE = Noise(mechanism="skellam", variance=10_000, removal=True, seeded=True)
NOISY = msgspec.structs.replace(QUIET, noise=NOISE)
KEPT = msgspec.structs.replace(QUIET, noise=msgspec.structs.replace(NOISE, removal=False))
PLANS = {"quiet": QUIET, "noisy": NOISY, "kept": KEPT}


def key(node: int) -> bytes:
    return bytes([node]) * 32


def vectors(seed: int = 0) -> dict[int, Vectors]:
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(-400, 400, (len(NODES), LENGTH))
    return dict(zip(NODES, drawn, strict=True))


def answered(plan: Plan, node: int, vector: Vectors | None = None) -> Answered:
    own = vectors()[node] if vector is None else vector
    return clear.answer(plan, plans.to_bytes(plan), own, key(node))


def start(plan: Plan) -> Answering:
    return Answering(plan, clear.digest_of(plans.to_bytes(plan)), frozenset(NODES))


def summed(plan: Plan, nodes: Sequence[int], silent: Sequence[int] = ()) -> clear.State:
    """A whole sum over `nodes`, of which `silent` do not answer the request for removal."""
    devices = {node: answered(plan, node) for node in nodes}
    state, requests, refused = clear.step(start(plan), [(n, device.reply) for n, device in devices.items()])
    assert not refused
    if not requests:
        return state
    assert set(requests) == set(nodes)
    revealed = [(n, clear.remove(devices[n], data)[1]) for n, data in requests.items() if n not in silent]
    after, more, refused = clear.step(state, revealed)
    assert (dict(more), refused) == ({}, [])
    return after


def noise_of(plan: Plan, node: int, components: int | None = None) -> Vectors:
    shares = plans.noise_shares(plan, plan.cohort)
    return contribute("skellam", shares[:components], LENGTH, key(node)).noise


def total(nodes: Sequence[int]) -> Vectors:
    found: Vectors = np.sum([vectors()[node] for node in nodes], axis=0)
    return found


@given(st.sets(st.sampled_from(NODES), min_size=3))
def test_the_quiet_sum_is_the_sum(nodes: set[int]) -> None:
    state = summed(QUIET, sorted(nodes))
    assert isinstance(state, Finished)
    assert state.total.tolist() == total(sorted(nodes)).tolist()
    assert (set(state.senders), state.noise_left) == (nodes, 0)


@given(st.sets(st.sampled_from(NODES), min_size=3))
def test_the_noise_left_is_what_so_many_drop_outs_call_for(nodes: set[int]) -> None:
    state, dropped = summed(NOISY, sorted(nodes)), len(NODES) - len(nodes)
    assert isinstance(state, Finished)
    noise = np.sum([noise_of(NOISY, node, dropped + 1) for node in sorted(nodes)], axis=0)
    assert state.total.tolist() == (total(sorted(nodes)) + noise).tolist()
    assert state.noise_left == 0


def test_who_does_not_reveal_leaves_its_noise_in_and_stays_in_the_sum() -> None:
    state = summed(NOISY, NODES, silent=NODES[:2])
    assert isinstance(state, Finished)
    noise = sum(noise_of(NOISY, node, None if node in NODES[:2] else 1) for node in NODES)
    assert state.total.tolist() == (total(NODES) + noise).tolist()
    assert (state.noise_left, len(state.senders)) == (2, 6)


def test_without_removal_all_noise_stays() -> None:
    state = summed(KEPT, NODES)
    assert isinstance(state, Finished)
    assert state.total.tolist() == (total(NODES) + sum(noise_of(KEPT, node) for node in NODES)).tolist()


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("count", [0, 1, 2])
def test_below_the_minimum_nothing_is_opened(plan: Plan, count: int) -> None:
    replies = [(node, answered(plan, node).reply) for node in NODES[:count]]
    state, requests, _ = clear.step(start(plan), replies)
    assert state == Aborted(f"{count} of 6 devices answered, the minimum is 3")
    assert not requests


def test_the_first_refusal_is_told_with_an_abort() -> None:
    state, _, _ = clear.step(start(QUIET), [(2, b"")])
    assert isinstance(state, Aborted)
    assert "first refusal: node 2: a malformed message" in state.reason


@given(st.permutations(NODES))
def test_the_order_of_answers_does_not_matter(order: list[int]) -> None:
    state, _, _ = clear.step(start(QUIET), [(node, answered(QUIET, node).reply) for node in order])
    assert isinstance(state, Finished)
    assert state.total.tolist() == total(NODES).tolist()


def changed(reply: bytes, **values: Any) -> bytes:
    return encode(msgspec.structs.replace(msgspec.msgpack.decode(reply, type=Answer), **values))


GOOD = answered(QUIET, 7).reply
SPOILT = {
    "nothing": b"",
    "torn": GOOD[:-1],
    "more": GOOD + b"\0",
    "longer": changed(GOOD, vector=bytes(4 * LENGTH + 4)),
    "shorter": changed(GOOD, vector=bytes(4 * LENGTH - 4)),
    "another plan's": changed(GOOD, plan=bytes(32)),
    "another message": encode(Removed(bytes(32), None)),
    "far too long": bytes(1 << 20),
}


@pytest.mark.parametrize("bad", SPOILT.values(), ids=SPOILT)
def test_a_spoilt_answer_is_named_and_takes_nobodys_place(bad: bytes) -> None:
    good = [(node, answered(QUIET, node).reply) for node in NODES[:4]]
    for replies in ([*good, (7, bad), (7, GOOD)], [(7, bad), *good, (7, GOOD)]):
        state, _, ((sender, reason),) = clear.step(start(QUIET), replies)
        assert isinstance(state, Finished)
        assert state.total.tolist() == total([*NODES[:4], 7]).tolist()
        assert sender == 7
        assert reason.startswith("node 7: ")


def test_strangers_and_second_answers_are_named_and_not_counted() -> None:
    good = [(node, answered(QUIET, node).reply) for node in NODES[:3]]
    state, _, refused = clear.step(start(QUIET), [*good, good[0], (99, GOOD)])
    assert isinstance(state, Finished)
    assert state.total.tolist() == total(NODES[:3]).tolist()
    assert refused == [(2, "node 2: a second answer"), (99, "node 99: was not asked")]


def removing() -> tuple[Removing, dict[int, Answered], dict[int, bytes]]:
    devices = {node: answered(NOISY, node) for node in NODES}
    state, requests, _ = clear.step(start(NOISY), [(node, each.reply) for node, each in devices.items()])
    assert isinstance(state, Removing)
    return state, devices, dict(requests)


def test_seeds_that_nobody_asked_for_are_named_and_remove_nothing() -> None:
    state, devices, requests = removing()
    _, mine = clear.remove(devices[2], requests[2])
    strange = encode(Removed(bytes(32), bytes(32)))
    after, _, refused = clear.step(state, [(2, mine), (2, mine), (99, mine), (3, strange), (4, b"\xc1")])
    assert isinstance(after, Finished)
    assert after.noise_left == 5
    expected = total(NODES) + noise_of(NOISY, 2, 1) + sum(noise_of(NOISY, node) for node in NODES[1:])
    assert after.total.tolist() == expected.tolist()
    assert [sender for sender, _ in refused] == [2, 99, 3, 4]
    assert all(reason.startswith(f"node {sender}: ") for sender, reason in refused)


def test_after_the_end_nothing_counts() -> None:
    for end in (summed(QUIET, NODES), Aborted("few")):
        assert clear.step(end, [(2, GOOD)]) == (end, {}, [(2, "answered after the end")])


# -- the device


def test_an_answer_is_for_one_plan_and_holds_one_vector() -> None:
    made = msgspec.msgpack.decode(answered(QUIET, 2).reply, type=Answer)
    assert made.plan.hex() == plans.digest(plans.to_bytes(QUIET))
    assert ring.centre(ring.from_bytes(made.vector, LENGTH)).tolist() == vectors()[2].tolist()
    assert repr(made) == "<Answer>"


def test_the_same_request_gets_the_same_seed_and_another_gets_none() -> None:
    device = answered(NOISY, 2)
    one, other = (encode(Removal(device.plan, dropped)) for dropped in (1, 0))
    after, reply = clear.remove(device, one)
    assert clear.remove(after, one) == (after, reply)
    with pytest.raises(ProtocolError, match="a second, different request for removal") as caught:
        clear.remove(after, other)
    assert caught.value.blame == "server"


@pytest.mark.parametrize("dropped", [3, 4, 1 << 16])
def test_more_drop_outs_than_tolerated_get_no_seed(dropped: int) -> None:
    device = answered(NOISY, 2)
    _, reply = clear.remove(device, encode(Removal(device.plan, dropped)))
    assert msgspec.msgpack.decode(reply, type=Removed).seed is None


def test_removal_for_another_plan_is_refused() -> None:
    with pytest.raises(ProtocolError, match="removal for another plan"):
        clear.remove(answered(NOISY, 2), encode(Removal(bytes(32), 0)))


@pytest.mark.parametrize("request_", [b"", b"\xc1", GOOD, bytes(1 << 12)])
def test_a_request_that_is_none_is_refused(request_: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        clear.remove(answered(NOISY, 2), request_)
    assert caught.value.blame == "server"


def test_a_plan_with_masks_is_never_answered_in_clear() -> None:
    masked = msgspec.structs.replace(
        QUIET,
        masks="on",
        suite=Suite(profile="malicious-server", cipher="chacha20", bits=32),
        roster=RosterReference(sha256="0" * 64, serial=1),
    )
    with pytest.raises(PlanRefused, match="a plan with masks, asked for in clear"):
        answered(masked, 2)


def test_a_zero_vector_is_hidden_by_the_full_noise() -> None:
    """The same size, and the very noise that an answer would have."""
    none, some = answered(NOISY, 2, np.zeros(LENGTH, np.int64)), answered(NOISY, 2)
    assert len(none.reply) == len(some.reply)
    hidden = msgspec.msgpack.decode(none.reply, type=Answer).vector
    assert ring.centre(ring.from_bytes(hidden, LENGTH)).tolist() == noise_of(NOISY, 2).tolist()
    assert none.first == some.first is not None
