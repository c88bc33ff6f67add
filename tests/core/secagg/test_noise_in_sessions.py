"""The noise that is left in an opened sum: σ² by honest devices however many of the tolerated drop out."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from covey.plan import Noise, noise_shares
from covey.secagg.messages import Revealed, encode
from covey.secagg.server import Aborted, Finished
from covey.secagg.states import Stage
from secagg_attacks import read
from secagg_fleet import Fleet, make_plan, vectors

SIZE, MINIMUM, CORRUPT, VARIANCE, LENGTH = 12, 8, 1, 40_000, 20_000
REMOVAL = Noise(mechanism="skellam", variance=VARIANCE, removal=True, seeded=True)
NO_REMOVAL = msgspec.structs.replace(REMOVAL, removal=False)

FIVE_SIGMA = 5 * (2 / (LENGTH - 1)) ** 0.5
"""Relative, of a sample variance of nearly normal values."""


def fleet(noise: Noise) -> Fleet:
    return Fleet(make_plan(SIZE, length=LENGTH, minimum=MINIMUM, noise=noise), vectors(SIZE, LENGTH))


def left(sums: Fleet, end: object) -> NDArray[np.int64]:
    """The noise in an opened sum."""
    assert isinstance(end, Finished)
    return end.total - sums.clear_sum(end.u3)


@pytest.mark.parametrize("dropped", range(SIZE - MINIMUM + 1))
def test_the_noise_left_is_what_was_planned_however_many_drop_out(dropped: int) -> None:
    """All survivors add theirs, the C_max corrupt among them too: |U3| / (|U3| - C_max) of σ²."""
    sums = fleet(REMOVAL)
    noise = left(sums, sums.run({"masked": set(range(2, 2 + dropped))}))
    survivors = SIZE - dropped
    planned = VARIANCE * survivors / (survivors - CORRUPT)
    assert np.var(noise) == pytest.approx(planned, rel=FIVE_SIGMA)
    assert abs(np.mean(noise)) < 5 * (planned / LENGTH) ** 0.5


@pytest.mark.parametrize("early", [1, 2])
def test_who_drops_out_before_sharing_is_planned_for_by_those_who_shared(early: int) -> None:
    sums = fleet(REMOVAL)
    end = sums.run({"share": set(range(2, 2 + early)), "masked": {9}})
    survivors = SIZE - early - 1
    planned = VARIANCE * survivors / (survivors - CORRUPT)
    assert np.var(left(sums, end)) == pytest.approx(planned, rel=FIVE_SIGMA)


def test_without_removal_noise_is_for_the_fewest_and_drop_outs_only_lower_it() -> None:
    for dropped in (0, 2, 4):
        sums = fleet(NO_REMOVAL)
        end = sums.run({"masked": set(range(2, 2 + dropped))})
        planned = VARIANCE * (SIZE - dropped) / (MINIMUM - CORRUPT)
        assert np.var(left(sums, end)) == pytest.approx(planned, rel=FIVE_SIGMA)


@pytest.mark.parametrize("noise", [REMOVAL, NO_REMOVAL])
def test_one_drop_out_more_than_tolerated_opens_nothing(noise: Noise) -> None:
    sums = fleet(noise)
    end = sums.run({"masked": set(range(2, 3 + SIZE - MINIMUM))})
    assert end == Aborted("masked", "7 devices are left at stage masked, 8 are needed")
    assert "unmask" not in sums.replies


def test_survivors_that_do_not_reveal_leave_more_noise_never_less() -> None:
    sums = fleet(REMOVAL)
    end = sums.run({"unmask": {2, 3, 4}})
    assert isinstance(end, Finished)
    assert end.noise_left == 3
    kept = noise_shares(sums.plan, SIZE)
    planned = SIZE * kept[0] + 3 * sum(kept[1:])
    assert np.var(left(sums, end)) == pytest.approx(planned, rel=FIVE_SIGMA)
    assert planned > VARIANCE


def test_a_survivor_that_reveals_no_seed_leaves_its_noise() -> None:
    def silent(stage: Stage, replies: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        if stage != "unmask":
            return replies
        bent = encode(msgspec.structs.replace(read(replies[0][1], Revealed), noise=None))
        return [(replies[0][0], bent), *replies[1:]]

    sums = fleet(REMOVAL)
    end = sums.run(tamper=silent)
    assert isinstance(end, Finished)
    assert end.noise_left == 1


def test_what_is_revealed_is_one_seed_and_none_when_all_noise_is_needed() -> None:
    for dropped in range(SIZE - MINIMUM + 1):
        sums = fleet(REMOVAL)
        sums.run({"masked": set(range(2, 2 + dropped))})
        seeds = {read(data, Revealed).noise for _, data in sums.replies["unmask"]}
        if dropped == SIZE - MINIMUM:
            assert seeds == {None}
        else:
            assert None not in seeds
            assert len(seeds) == SIZE - dropped  # each its own


def test_two_sums_have_two_noises() -> None:
    noises = []
    for serial in (1, 2):
        sums = Fleet(
            make_plan(SIZE, length=LENGTH, minimum=MINIMUM, noise=REMOVAL, serial=serial),
            vectors(SIZE, LENGTH),
        )
        noises.append(left(sums, sums.run()))
    one, two = noises
    correlation = np.mean(one * two) / (np.std(one) * np.std(two))
    assert abs(correlation) < 5 / LENGTH**0.5
