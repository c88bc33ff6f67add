"""Which image a device should run: held, then pinned, then by state and ring. A share only adds devices."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.rollout.choosing import choose, ring_of
from covey.rollout.instruction import Pin, State
from covey.rollout.plan import BUCKETS, Ring, bucket
from rollout_plans import HOUR, image, instruction, plan, rings, tokens

NEW, OLD = image(), image("1", 1)
FLEET = tokens(200)
LAB = FLEET[0]
LAST = next(each for each in FLEET if ring_of(plan(), each) == 3)


def test_rings_are_by_bucket_or_by_name() -> None:
    made = plan()
    for each in FLEET[2:]:
        place = bucket(NEW.sha256, each)
        assert ring_of(made, each) == (1 if place < 1000 else 2 if place < 2500 else 3)
    assert {ring_of(made, each) for each in FLEET[:2]} == {0}
    assert {ring_of(made, each) for each in FLEET} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("state", "opened", "runs", "begins"),
    [
        ("running", 0, OLD, True),
        ("running", 1, NEW, True),
        ("paused", 0, OLD, True),
        ("paused", 1, NEW, False),
        ("aborted", 1, NEW, False),
        ("complete", 4, NEW, True),
        ("rolled-back", 4, OLD, True),
    ],
)
def test_a_device_of_the_first_ring(state: State, opened: int, runs: object, begins: bool) -> None:
    chosen = choose(instruction(state=state, opened=opened), LAB)
    assert (chosen.image, chosen.may_begin, chosen.ring) == (runs, begins, 0)


@pytest.mark.parametrize("state", ["running", "paused", "aborted"])
def test_a_device_whose_ring_is_closed_runs_the_fallback_or_stays(state: State) -> None:
    closed = instruction(state=state, opened=3)
    assert choose(closed, LAST).image == OLD
    assert "is not open yet: until then 1" in choose(closed, LAST).because
    without = choose(instruction(plan(fallback=None), state=state, opened=3), LAST)
    assert (without.image, without.may_begin) == (None, False)


def test_nothing_to_return_to_leaves_everything_as_it_is() -> None:
    chosen = choose(instruction(plan(fallback=None), state="rolled-back"), LAB)
    assert (chosen.image, chosen.may_begin) == (None, False)
    assert "names nothing to return to" in chosen.because


@pytest.mark.parametrize("state", ["running", "paused", "aborted", "rolled-back", "complete"])
def test_a_hold_is_above_a_pin_and_a_pin_above_everything(state: State) -> None:
    pinned = instruction(state=state, opened=4, pins=(Pin(device=LAB, image=image("0", 1)),))
    assert choose(pinned, LAB).image == image("0", 1)
    assert choose(pinned, FLEET[1]).image != image("0", 1)
    held = instruction(state=state, opened=4, pins=pinned.pins, holds=(LAB,))
    assert (choose(held, LAB).image, choose(held, LAB).may_begin) == (None, False)


def test_reasons_are_in_plain_words() -> None:
    told = choose(instruction(opened=2), FLEET[5]).because
    place = bucket(NEW.sha256, FLEET[5])
    assert told.startswith("ring ")
    assert f"its bucket is {place} of 10000" in told
    assert "(it is named there)" in choose(instruction(opened=2), LAB).because
    states: tuple[State, ...] = ("running", "paused", "aborted", "rolled-back", "complete")
    for state, opened in product(states, range(5)):
        assert choose(instruction(state=state, opened=opened), LAB).because


shares = st.lists(st.integers(0, BUCKETS), min_size=1, max_size=7).map(
    lambda found: (*sorted(found), BUCKETS)
)


@given(shares, st.sampled_from(FLEET), st.data())
def test_a_larger_share_only_ever_adds_devices(
    found: tuple[int, ...], device: str, data: st.DataObject
) -> None:
    """Ring after ring, and share by share: who has been told to run an image goes on being told so."""
    made = plan(rings=tuple(Ring(name=f"r{n}", share=each) for n, each in enumerate(found)))
    told = [choose(instruction(made, opened=opened), device).image == NEW for opened in range(len(found) + 1)]
    assert told == sorted(told)
    assert told[0] is False
    assert told[-1] is True
    place = data.draw(st.integers(0, len(found) - 2))
    larger = (*found[:place], data.draw(st.integers(found[place], found[place + 1])), *found[place + 1 :])
    wider = plan(rings=tuple(Ring(name=f"r{n}", share=each) for n, each in enumerate(larger)))
    for opened in range(len(found) + 1):
        before = choose(instruction(made, opened=opened), device).image == NEW
        assert not before or choose(instruction(wider, opened=opened), device).image == NEW


def test_every_ring_of_the_plans_here_soaks() -> None:
    assert {ring.soak_seconds for ring in rings()} == {HOUR}
