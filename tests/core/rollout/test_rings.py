"""Devices counted by ring."""

from covey.rollout.choosing import choose, ring_of
from covey.rollout.instruction import Pin
from covey.rollout.rings import expected, sizes
from rollout_plans import image, instruction, plan, tokens

FLEET = tokens(300)


def test_each_device_is_in_one_ring() -> None:
    found = sizes(plan(), FLEET)
    assert sum(found) == 300
    assert found[0] == 2
    assert found == tuple(sum(ring_of(plan(), each) == ring for each in FLEET) for ring in range(4))


def test_only_open_rings_and_only_who_follows_are_expected() -> None:
    canary = [each for each in FLEET if ring_of(plan(), each) == 1]
    told = instruction(
        opened=2, holds=(FLEET[0], canary[0]), pins=(Pin(device=canary[1], image=image("1", 1)),)
    )
    found = expected(told, FLEET)
    assert found == (1, len(canary) - 2)
    follows = [each for each in FLEET if choose(told, each).image == image()]
    assert sum(found) == len(follows)


def test_a_device_that_left_the_fleet_is_expected_no_more() -> None:
    assert expected(instruction(opened=1), FLEET[1:]) == (1,)
    assert expected(instruction(opened=1), []) == (0,)
