import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.noise.contribution import Contribution, contribute, due, removable
from covey.noise.draw import draw
from covey.noise.removal import chain, components, key_of

LENGTH = 200
VARIANCES = components(1_000_000, 12, 1, 8)  # four drop-outs are tolerated


def key(device: int) -> bytes:
    return hashlib.sha256(b"noise of device %d" % device).digest()


def whole(device: int = 0) -> Contribution:
    return contribute("skellam", VARIANCES, LENGTH, key(device))


def test_a_contribution_is_all_of_its_components() -> None:
    """The first stays; each of the others is drawn from its own link of the chain."""
    made = whole()
    assert made.first is not None
    own = made.noise.copy()
    for variance, seed in zip(VARIANCES[1:], chain(made.first, 4), strict=True):
        own -= draw("skellam", variance, LENGTH, key_of(seed))
    alone = contribute("skellam", VARIANCES[:1], LENGTH, key(0))
    assert own.tolist() == alone.noise.tolist()
    assert own.any()
    assert alone.first is None


@given(st.integers(0, 4))
def test_what_is_revealed_gives_the_excess_and_nothing_more(dropped: int) -> None:
    made = whole()
    seed = due(made.first, 4, dropped)
    if seed is None:
        assert dropped == 4
        return
    excess = removable("skellam", VARIANCES, LENGTH, seed=seed, dropped=dropped)
    kept = contribute("skellam", VARIANCES[: dropped + 1], LENGTH, key(0))
    assert (made.noise - excess).tolist() == kept.noise.tolist()


def test_removal_leaves_the_planned_variance_whoever_drops_out() -> None:
    """Eleven honest devices of twelve; the noise left is that of the survivors, up to chance."""
    for dropped in range(5):
        left = np.zeros(LENGTH, np.int64)
        for device in range(11 - dropped):
            made = whole(device)
            left += made.noise
            seed = due(made.first, 4, dropped)
            if seed is not None:
                left -= removable("skellam", VARIANCES, LENGTH, seed=seed, dropped=dropped)
        assert np.mean(left.astype(float) ** 2) == pytest.approx(1_000_000, rel=4 * (2 / LENGTH) ** 0.5)


def test_no_more_drop_outs_than_tolerated_reveal_anything() -> None:
    made = whole()
    assert due(made.first, 4, 3) is not None
    assert due(made.first, 4, 4) is None
    assert due(made.first, 4, 99) is None
    assert due(None, 0, 0) is None


def test_a_later_link_does_not_give_an_earlier_one() -> None:
    """Who is told of one drop-out gets no seed that goes before, and not the noise that stays."""
    first = whole().first
    assert first is not None
    told = due(first, 4, 1)
    assert told == chain(first, 4)[1]
    assert told not in (first, key(0))


def test_each_key_has_noise_of_its_own() -> None:
    assert whole(0).noise.tolist() == whole(0).noise.tolist()
    assert whole(0).noise.tolist() != whole(1).noise.tolist()
    assert whole(0).first != whole(1).first


def test_without_variances_there_is_no_noise_to_draw() -> None:
    with pytest.raises(ValueError, match="unpack"):
        contribute("skellam", (), LENGTH, key(0))


def test_a_gaussian_has_one_component() -> None:
    made = contribute("discrete-gaussian", (90_000,), LENGTH, key(0))
    assert made.first is None
    assert made.noise.std() == pytest.approx(300, rel=0.2)
