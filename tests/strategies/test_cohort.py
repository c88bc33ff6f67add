from fractions import Fraction
from math import ceil

import pytest
from flwr.app import RecordDict
from flwr.supercore.run import Run
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import InputError, TooFewDevices
from covey.secagg.graph import quorum
from covey_strategies.cohort import CohortGrid, divide, draw, minimum_of
from covey_strategies.protection import Protection
from digits_fleet import flock


@st.composite
def draws(draw_: st.DrawFn) -> tuple[set[int], int, int]:
    """Connected nodes, a size and a minimum that can be met."""
    nodes = draw_(st.sets(st.integers(2, 1 << 63), min_size=1, max_size=12))
    return nodes, draw_(st.integers(0, 15)), draw_(st.integers(0, len(nodes)))


@given(draws(), st.integers(0, 1 << 62), st.integers(1, 1000))
def test_a_cohort_is_connected_distinct_sorted_and_large_enough(
    case: tuple[set[int], int, int], seed: int, server_round: int
) -> None:
    nodes, size, minimum = case
    cohort = draw(nodes, size, minimum, seed, server_round)
    assert set(cohort) <= nodes
    assert cohort == sorted(set(cohort))
    assert len(cohort) == (min(len(nodes), max(size, minimum)) if size else len(nodes))


@given(st.permutations(range(2, 12)), st.integers(1, 9))
def test_the_order_in_which_nodes_are_listed_does_not_matter(nodes: list[int], size: int) -> None:
    assert draw(nodes, size, 1, 1, 1) == draw(range(2, 12), size, 1, 1, 1)


def test_a_cohort_is_keyed_by_seed_and_round() -> None:
    def cohort(seed: int, server_round: int) -> tuple[int, ...]:
        return tuple(draw(range(2, 102), 10, 2, seed, server_round))

    assert cohort(1, 1) == cohort(1, 1)
    assert len({cohort(seed, server_round) for seed in range(4) for server_round in range(1, 6)}) == 20


def test_known_answer() -> None:
    assert draw(range(2, 22), 5, 2, 7, 3) == [5, 6, 12, 14, 19]


def test_every_node_has_its_turn_equally_often() -> None:
    asked = [node for number in range(1, 1001) for node in draw(range(2, 12), 3, 2, 5, number)]
    counts = [asked.count(node) for node in range(2, 12)]
    assert min(counts) > 240
    assert max(counts) < 360  # 300 expected, standard deviation 14


@pytest.mark.parametrize(("connected", "minimum"), [(0, 0), (0, 2), (1, 2), (4, 5)])
def test_too_few_connected_is_said_with_both_numbers(connected: int, minimum: int) -> None:
    told = f"{connected} devices are connected, the minimum is {minimum}"
    with pytest.raises(TooFewDevices, match=told) as caught:
        draw(range(2, 2 + connected), 0, minimum, 1, 1)
    assert "minimum_devices" in caught.value.hint


# -- one sum for each part of a cohort

CLEAR, MASKED = Protection(), Protection(masks="on", corrupt=2)


@given(st.sets(st.integers(2, 1 << 63), min_size=1, max_size=60), st.integers(2, 70), st.integers(0, 99))
def test_a_divided_cohort_is_all_of_it_in_parts_as_equal_as_can_be(
    nodes: set[int], largest: int, seed: int
) -> None:
    parts = divide(sorted(nodes), largest, seed, 1)
    assert sorted(node for part in parts for node in part) == sorted(nodes)
    assert all(part == sorted(part) for part in parts)
    sizes = [len(part) for part in parts]
    assert max(sizes) <= largest
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == -(-len(nodes) // largest)


def test_a_division_is_keyed_by_seed_and_round() -> None:
    def parts(seed: int, server_round: int) -> tuple[tuple[int, ...], ...]:
        return tuple(map(tuple, divide(range(2, 42), 20, seed, server_round)))

    assert parts(1, 1) == parts(1, 1)
    assert len({parts(seed, server_round) for seed in range(3) for server_round in range(1, 5)}) == 12


def test_a_division_is_at_random_and_nobody_is_always_beside_the_same() -> None:
    beside = [
        2 + 1 in part for number in range(1, 401) for part in divide(range(2, 22), 10, 5, number) if 2 in part
    ]
    assert 150 < sum(beside) < 230  # nine of nineteen expected


def test_a_cohort_that_fits_is_one() -> None:
    assert divide([5, 3, 4], 3, 1, 1) == [[5, 3, 4]]


@pytest.mark.parametrize(
    ("devices", "dropouts", "protection", "expected"),
    [
        (20, 0.3, MASKED, 14),
        (20, 0.0, MASKED, 20),
        (20, 0.3, CLEAR, 14),
        (20, 0.9, CLEAR, 2),
        (3, 0.3, CLEAR, 3),
        (2, 0.5, CLEAR, 2),
        (20, 0.9, Protection(corrupt=4), 5),
    ],
)
def test_a_minimum_follows_from_the_drop_outs(
    devices: int, dropouts: float, protection: Protection, expected: int
) -> None:
    assert minimum_of(devices, 0, dropouts, protection) == expected


@given(st.integers(10, 500), st.floats(0, 0.9))
def test_a_masked_minimum_is_a_quorum_or_refused(devices: int, dropouts: float) -> None:
    kept = devices - ceil(Fraction(repr(dropouts)) * devices)
    if kept >= max(quorum(devices, 2), 4):
        assert minimum_of(devices, 0, dropouts, MASKED) == kept
    else:
        with pytest.raises(InputError, match="are left; a sum needs"):
            minimum_of(devices, 0, dropouts, MASKED)


def test_a_minimum_that_was_decided_stands() -> None:
    assert minimum_of(20, 17, 0.9, MASKED) == 17


# -- the grid that an inner strategy sees


def test_the_cohorts_grid_shows_the_cohort_and_passes_the_rest_on() -> None:
    grid = flock().grid
    cohort = CohortGrid(grid, [2, 4])
    assert list(cohort.get_node_ids()) == [2, 4]
    assert cohort.run is grid.run
    with pytest.raises(NotImplementedError):
        cohort.set_run(Run.create_empty(1))
    message = cohort.create_message(RecordDict(), "train", 4, "")
    assert message.metadata.dst_node_id == 4
    (reply,) = cohort.send_and_receive([message], timeout=1.0)
    assert reply.metadata.src_node_id == 4
    identifiers = list(cohort.push_messages([message, message]))
    assert len(list(cohort.pull_messages(identifiers))) == 2
    assert list(cohort.pull_messages(identifiers)) == []


def test_the_cohort_cannot_be_changed_from_outside() -> None:
    cohort = CohortGrid(flock().grid, [2, 4])
    seen = cohort.get_node_ids()
    assert isinstance(seen, list)
    seen.clear()
    assert list(cohort.get_node_ids()) == [2, 4]
