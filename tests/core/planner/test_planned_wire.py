"""The modulus and the bytes."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.accounting import rounded_norms
from covey.errors import InputError
from covey.planner import Assumptions, bits_for, cohort_for, traffic
from covey.secagg.messages import (
    Advert,
    Advertised,
    Agreed,
    Cohort,
    Deal,
    Entry,
    InputProof,
    Masked,
    Message,
    OpenShare,
    Partners,
    Revealed,
    Shared,
    Survivors,
    Unmask,
    Vote,
    encode,
)


@given(st.integers(1, 10**5), st.integers(1, 1 << 12), st.integers(1, 10**6), st.integers(0, 1 << 26))
def test_the_modulus_is_the_least_that_cannot_wrap_around(
    rows: int, sensitivity: int, length: int, noise: int
) -> None:
    bits = bits_for(rows, sensitivity, length, noise)
    largest = rows * rounded_norms(sensitivity, length).l2 + 14 * sqrt(noise)
    assert largest < 1 << (bits - 1)
    assert bits == 16 or largest >= 1 << (bits - 2)


def test_a_sum_that_would_wrap_around_names_what_to_change() -> None:
    with pytest.raises(InputError, match="lower sensitivity to 512"):
        bits_for(3_000_000, 1 << 10, 10, 0)
    assert bits_for(3_000_000, 512, 10, 0) == 32
    with pytest.raises(InputError, match="ask fewer devices, or fewer examples of each"):
        bits_for(1 << 30, 1 << 10, 10, 0)


NAME, HASH, SIGNATURE = "device-000000001", bytes(32), bytes(64)


def adverts(count: int, path: int = 0) -> tuple[Entry, ...]:
    advert = Advertised(encode(Advert(HASH, NAME, HASH, HASH, HASH, 1000, HASH)), SIGNATURE)
    return tuple(Entry(place, advert, (HASH,) * path) for place in range(count))


def size(*messages: Message) -> int:
    return sum(len(encode(message)) for message in messages)


@pytest.mark.parametrize("devices", [20, 100, 500])
def test_bytes_are_those_of_the_messages(devices: int) -> None:
    cohort = cohort_for(Assumptions(devices))
    told = traffic(cohort, 4423, 20, removal=True)
    vector = bytes(told.vector)
    places = tuple(range(devices))
    deals = tuple(Deal(place, bytes(155), HASH, HASH, SIGNATURE) for place in places[1:])
    opened = tuple(OpenShare(place, bytes(33), HASH) for place in places)
    up = size(
        adverts(1)[0].advert,
        Shared(HASH, deals),
        Masked(vector, SIGNATURE),
        Agreed(SIGNATURE),
        Revealed(opened, (), HASH),
    )
    assert told.up == pytest.approx(up, rel=0.03)
    proofs = tuple(InputProof(place, HASH, SIGNATURE) for place in places[: cohort.minimum])
    votes = tuple(Vote(place, SIGNATURE) for place in places[: cohort.threshold])
    down = size(
        Cohort(devices, HASH, 0, adverts(devices), adverts(1)[0].advert),
        Partners(places, devices, deals),
        Survivors(HASH, places, places),
        Unmask(places, devices, proofs, votes),
    )
    plan_model_and_roster, policy_and_proofs = 1500 + 4 * 4423 + 60 * devices, 3500
    sent = plan_model_and_roster + policy_and_proofs
    assert told.down == pytest.approx(down + sent, rel=0.03)


def test_a_sparse_graph_costs_what_its_neighbours_cost() -> None:
    large = cohort_for(Assumptions(1000, 50, 0.2, profile="semi-honest-server"))
    sparse = traffic(large, 100, 20, removal=False)
    dense = traffic(cohort_for(Assumptions(500, 25, 0.2)), 100, 20, removal=False)
    assert sparse.vector == dense.vector == 250
    assert sparse.up < dense.up / 4
    assert sparse.down < dense.down
