import hashlib
from collections import Counter
from fractions import Fraction
from itertools import combinations, islice
from math import comb, lgamma, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import InputError
from covey.secagg import graph
from covey.secagg.graph import GraphParameters, complete, harary, parameters, quorum
from covey.stream import Stream


def seed(name: object) -> bytes:
    return hashlib.sha256(repr(name).encode()).digest()


# RFC 8439, appendix A.1, test vector 1: the ChaCha20 keystream of the zero key and nonce.
KEYSTREAM = bytes.fromhex(
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a37"
)


def test_the_ring_is_fisher_and_yatess_over_the_keystream() -> None:
    words = [int.from_bytes(KEYSTREAM[start : start + 8], "little") for start in range(0, 48, 8)]
    ring = list(range(6))
    for last, word in zip(range(5, 0, -1), words, strict=False):
        other = word % (last + 1)
        ring[last], ring[other] = ring[other], ring[last]
    assert harary(6, 2, bytes(32)).ring == tuple(ring)


@given(st.integers(3, 40), st.data())
def test_neighbourhood_is_mutual_without_self_and_of_one_size(size: int, data: st.DataObject) -> None:
    degree = 2 * data.draw(st.integers(1, (size - 1) // 2))
    drawn = harary(size, degree, seed(size))
    joined = [drawn.neighbours(position) for position in range(size)]
    for position, others in enumerate(joined):
        assert len(set(others)) == len(others) == degree
        assert list(others) == sorted(others)
        assert position not in others
        assert all(position in joined[other] for other in others)


@given(st.integers(5, 40), st.data())
def test_neighbours_are_the_nearest_on_the_ring(size: int, data: st.DataObject) -> None:
    degree = 2 * data.draw(st.integers(1, (size - 1) // 2))
    drawn = harary(size, degree, seed(size))
    position = data.draw(st.integers(0, size - 1))
    place = drawn.ring.index(position)
    distance = {each: min((at - place) % size, (place - at) % size) for at, each in enumerate(drawn.ring)}
    nearest = sorted(set(range(size)) - {position}, key=lambda each: distance[each])[:degree]
    assert max(distance[each] for each in drawn.neighbours(position)) == distance[nearest[-1]]


@given(st.integers(3, 60))
def test_the_ring_is_a_permutation_and_places_its_inverse(size: int) -> None:
    drawn = harary(size, 2, seed(size))
    assert sorted(drawn.ring) == list(range(size))
    assert [drawn.ring[place] for place in drawn.places] == list(range(size))


def test_the_same_seed_gives_the_same_graph_and_another_seed_another() -> None:
    assert harary(50, 10, seed(1)) == harary(50, 10, seed(1))
    assert harary(50, 10, seed(1)) != harary(50, 10, seed(2))


def test_all_orders_of_four_are_equally_likely() -> None:
    draws = 4800
    seen = Counter(harary(4, 2, seed(number)).ring for number in range(draws))
    each = draws / 24
    chi_squared = sum((count - each) ** 2 / each for count in seen.values())
    assert len(seen) == 24
    assert chi_squared < 49.7  # 23 degrees of freedom: exceeded with a chance of 0.001


def test_words_that_would_bias_the_choice_are_passed_over() -> None:
    top = (1 << 64) - 1  # 2^64 = 1 mod 3: the last word is one too many
    assert graph._below(3, iter([top, top, 7])) == 1
    assert graph._below(3, iter([top - 1, 7])) == 2
    assert graph._below(1 << 32, iter([top])) == (1 << 32) - 1


def test_words_run_on_past_one_read() -> None:
    stream = Stream(bytes(32))
    assert list(islice(graph._words(Stream(bytes(32))), 1500)) == stream.words64(1500).tolist()


@pytest.mark.parametrize(("size", "degree"), [(10, 0), (10, -2), (10, 3), (10, 10), (2, 2), (0, 2)])
def test_a_degree_that_no_ring_has_is_refused(size: int, degree: int) -> None:
    with pytest.raises(ValueError, match=f"a ring of {size} with {degree} neighbours"):
        harary(size, degree, bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        harary(10, 2, bytes(length))


@pytest.mark.parametrize("position", [-1, 6])
def test_who_is_not_there_has_no_neighbours(position: int) -> None:
    for each in (harary(6, 2, bytes(32)), complete(6)):
        with pytest.raises(IndexError, match=f"member {position} of 6"):
            each.neighbours(position)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
def test_on_the_complete_graph_all_others_are_neighbours(size: int) -> None:
    everybody = set(range(size))
    for position in range(size):
        assert set(complete(size).neighbours(position)) == everybody - {position}


def test_a_ring_joined_to_all_others_is_complete() -> None:
    ring, all_joined = harary(7, 6, seed(7)), complete(7)
    assert all(ring.neighbours(each) == all_joined.neighbours(each) for each in range(7))


LIVENESS = [  # n, C_max, t, drop-outs tolerated when the colluders answer, and when they stay silent
    (10, 1, 6, 4, 3),
    (12, 1, 7, 5, 4),
    (12, 2, 8, 4, 2),
    (20, 1, 11, 9, 8),
    (20, 2, 12, 8, 6),
    (50, 3, 27, 23, 20),
    (50, 5, 28, 22, 17),
    (100, 5, 53, 47, 42),
    (100, 10, 56, 44, 34),
]


@pytest.mark.parametrize(("size", "corrupt", "threshold", "answering", "silent"), LIVENESS)
def test_quorum_and_the_drop_outs_it_leaves_room_for(
    size: int, corrupt: int, threshold: int, answering: int, silent: int
) -> None:
    assert quorum(size, corrupt) == threshold
    assert size - quorum(size, corrupt) == answering
    assert size - corrupt - quorum(size, corrupt) == silent


@given(st.integers(1, 500), st.integers(0, 100))
def test_two_quorums_share_an_honest_device_and_a_smaller_one_need_not(size: int, corrupt: int) -> None:
    assert 2 * quorum(size, corrupt) - size > corrupt
    assert 2 * (quorum(size, corrupt) - 1) - size <= corrupt


@pytest.mark.parametrize(("size", "corrupt"), [(10, -1), (-1, 0)])
def test_a_quorum_of_negative_numbers_is_refused(size: int, corrupt: int) -> None:
    with pytest.raises(ValueError, match=f"{corrupt} corrupt devices among {size}"):
        quorum(size, corrupt)


PARAMETERS = [  # sigma, corrupt per cent, n, k, t; drop-outs of 20 %, eta = 20
    (40, 5, 100, 20, 6),
    (40, 5, 1_000, 50, 21),
    (40, 5, 10_000, 60, 25),
    (40, 10, 100, 28, 11),
    (40, 10, 1_000, 66, 31),
    (40, 10, 10_000, 78, 37),
    (80, 5, 100, 26, 6),
    (80, 5, 1_000, 66, 32),
    (80, 5, 10_000, 80, 39),
]


@pytest.mark.parametrize(("sigma", "per_cent", "size", "degree", "threshold"), PARAMETERS)
def test_checked_parameters(sigma: int, per_cent: int, size: int, degree: int, threshold: int) -> None:
    found = parameters(size, size * per_cent // 100, size // 5, sigma=sigma)
    assert found == GraphParameters(degree, threshold)


@pytest.mark.parametrize(("size", "degree", "threshold"), [(100, 38, 20), (1_000, 76, 39), (10_000, 94, 48)])
def test_a_majority_of_neighbours_costs_a_larger_degree(size: int, degree: int, threshold: int) -> None:
    found = parameters(size, size // 20, size // 5, sigma=80, majority=True)
    assert found == GraphParameters(degree, threshold)
    assert 2 * found.threshold > found.neighbours


def more_than(count: int, size: int, degree: int, marked: int) -> Fraction:
    """Pr[more than `count` of a member's neighbours are marked], by the definition."""
    ways = sum(
        comb(marked, x) * comb(size - 1 - marked, degree - x)
        for x in range(count + 1, min(marked, degree) + 1)
    )
    return Fraction(ways, comb(size - 1, degree))


@given(st.integers(3, 60), st.integers(1, 30), st.data())
def test_the_tail_of_marked_neighbours_is_exact(size: int, bits: int, data: st.DataObject) -> None:
    degree = data.draw(st.integers(1, size - 1))
    marked = data.draw(st.integers(0, size - 1))
    most, allowed = graph._most(size, degree, marked, bits), Fraction(1, size << bits)
    assert more_than(most, size, degree, marked) <= allowed
    assert most == 0 or more_than(most - 1, size, degree, marked) > allowed


def test_a_tail_of_exactly_the_chance_allowed_counts_as_allowed() -> None:
    assert more_than(1, 8, 2, 2) == Fraction(1, 21)  # floor(21 / (8 · 2)) is that one way of 21
    assert graph._most(8, 2, 2, 1) == 1


@given(st.integers(5, 400), st.integers(1, 60), st.data())
def test_connectedness_is_the_published_inequality(size: int, bits: int, data: st.DataObject) -> None:
    degree, lost = data.draw(st.integers(2, size - 2)), data.draw(st.integers(0, size))
    if degree > lost:
        assert graph._is_connected(size, degree, lost, bits)
        return
    cut = sum(map(lgamma, (lost + 1, size - degree + 1))) - sum(map(lgamma, (size + 1, lost - degree + 1)))
    chance = log(size * (size - degree - 1) / 2) + cut
    if abs(chance + bits * log(2)) > 1e-9:  # logarithms cannot tell a tie
        assert graph._is_connected(size, degree, lost, bits) == (chance < -bits * log(2))


@pytest.mark.parametrize(
    ("lost", "bits", "connected"), [(4, 2, True), (4, 3, False), (5, 0, True), (5, 1, False)]
)
def test_connectedness_of_a_small_ring_by_hand(lost: int, bits: int, connected: bool) -> None:
    # n = 9, k = 4: 18 pairs of spots; C(4, 4) = 1 and C(5, 4) = 5 of C(9, 4) = 126 ways: 1/7 and 5/7.
    assert graph._is_connected(9, 4, lost, bits) == connected


def test_the_tail_counts_neighbours() -> None:
    others, marked, degree = range(9), {0, 1, 2, 3}, 4
    ways = [len(marked & set(chosen)) for chosen in combinations(others, degree)]
    assert more_than(1, 10, degree, 4) == Fraction(sum(each > 1 for each in ways), len(ways))


@pytest.mark.parametrize(
    ("size", "corrupt", "dropped"),
    [(10, 4, 4), (100, 50, 50), (10, 10, 0), (100, -1, 5), (100, 5, -1), (0, 0, 0)],
)
def test_what_no_graph_survives_is_refused(size: int, corrupt: int, dropped: int) -> None:
    with pytest.raises(InputError, match="no sparse graph") as caught:
        parameters(size, corrupt, dropped)
    assert "complete graph" in caught.value.hint


def test_no_degree_above_the_largest_is_tried() -> None:
    with pytest.raises(InputError, match="no sparse graph over 10000"):
        parameters(10_000, 3_000, 6_000)


def test_one_colluder_never_holds_enough_shares() -> None:
    assert parameters(600, 0, 60, sigma=40).threshold >= 2
