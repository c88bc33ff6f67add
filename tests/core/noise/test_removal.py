import hashlib
import hmac
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from covey.errors import InputError
from covey.noise.draw import draw
from covey.noise.removal import LARGEST_TOLERANCE, chain, components, key_of

LENGTH = 500
FIRST = bytes(range(32))


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block of output, no salt."""
    extracted = hmac.digest(bytes(32), secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


@st.composite
def sizes(draw_one: st.DrawFn) -> tuple[int, int, int, int]:
    """Any σ², n2, C_max and minimum that have components."""
    corrupt, honest = draw_one(st.integers(0, 20)), draw_one(st.integers(1, 300))
    tolerance = draw_one(st.integers(0, LARGEST_TOLERANCE))
    minimum = corrupt + honest
    return draw_one(st.integers(0, 1 << 40)), minimum + tolerance, corrupt, minimum


def test_the_vector_of_the_design() -> None:
    assert components(1_000_000, 20, 1, 17) == (52632, 2924, 3268, 3677)


@given(sizes())
def test_whoever_drops_out_the_honest_survivors_keep_the_variance(size: tuple[int, int, int, int]) -> None:
    variance, sharing, corrupt, minimum = size
    parts = components(*size)
    for dropped in range(sharing - minimum + 1):
        honest = sharing - corrupt - dropped
        left = honest * sum(parts[: dropped + 1])
        assert variance <= left < variance + honest * (dropped + 1)  # rounding up adds less than one each


@given(sizes())
def test_unrounded_components_leave_the_variance_exactly(size: tuple[int, int, int, int]) -> None:
    variance, sharing, corrupt, minimum = size
    parts, m = components(*size), sharing - corrupt
    exact = [Fraction(variance, m)]
    exact += [Fraction(variance, (m - k + 1) * (m - k)) for k in range(1, sharing - minimum + 1)]
    assert [part - 1 < value <= part for part, value in zip(parts, exact, strict=True)] == [True] * len(parts)
    for dropped in range(len(exact)):
        assert (m - dropped) * sum(exact[: dropped + 1]) == variance


def test_without_tolerance_there_is_one_component() -> None:
    assert components(1000, 10, 2, 10) == (125,)


def test_the_largest_tolerance_is_allowed() -> None:
    assert len(components(10**6, 52, 1, 20)) == LARGEST_TOLERANCE + 1


def test_more_tolerance_is_refused_with_the_number_to_change() -> None:
    with pytest.raises(InputError, match="raise the minimum"):
        components(10**6, 53, 1, 20)


@pytest.mark.parametrize(
    ("variance", "sharing", "corrupt", "minimum"),
    [(100, 9, 1, 10), (100, 10, 5, 5), (100, 10, 9, 8), (100, 10, -1, 8), (-1, 10, 1, 8)],
)
def test_impossible_sizes_are_refused(variance: int, sharing: int, corrupt: int, minimum: int) -> None:
    with pytest.raises(InputError, match="minimum"):
        components(variance, sharing, corrupt, minimum)


def test_seeds_and_keys_are_hkdf_as_rfc_5869_has_it() -> None:
    seeds = chain(FIRST, 4)
    assert seeds[0] == FIRST
    for seed, following in pairwise(seeds):
        assert following == hkdf(seed, b"xnoise-next")
    assert [key_of(seed) for seed in seeds] == [hkdf(seed, b"xnoise-key") for seed in seeds]


def test_known_seeds_and_keys() -> None:
    assert chain(bytes(32), 2)[1].hex() == "cc6839f42b7708073fdc404105dfdcbc4b1ffeabb8dd181f71c81fd541c4f4f5"
    assert key_of(bytes(32)).hex() == "614764e602c5e8c9bf50c62018f5fb9769391104f80b1b4b24c1573decf58cf2"


def test_a_seed_opens_itself_and_the_later_ones_only() -> None:
    seeds = chain(FIRST, 6)
    for index, seed in enumerate(seeds):
        assert chain(seed, 6 - index) == seeds[index:]
    assert len({*seeds, *map(key_of, seeds)}) == 12


def test_an_empty_chain() -> None:
    assert chain(FIRST, 0) == ()


@pytest.mark.parametrize("length", [0, 31, 33])
def test_seeds_have_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        chain(bytes(length), 1)


def noise(variances: tuple[int, ...], keys: tuple[bytes, ...]) -> NDArray[np.int64]:
    total = np.zeros(LENGTH, np.int64)
    for variance, key in zip(variances, keys, strict=True):
        total += draw("skellam", variance, LENGTH, key)
    return total


@pytest.mark.parametrize("dropped", [0, 2, 4])
def test_a_fleet_that_takes_the_excess_off_is_left_with_the_planned_noise(dropped: int) -> None:
    variance, sharing, corrupt, minimum = 90_000, 12, 2, 8
    parts = components(variance, sharing, corrupt, minimum)
    tolerance, survivors = sharing - minimum, range(sharing - dropped)
    fresh = [bytes([device] * 32) for device in survivors]
    first = [bytes([device, *range(31)]) for device in survivors]

    sent = np.zeros(LENGTH, np.int64)
    for zero, one in zip(fresh, first, strict=True):
        sent += noise(parts, (zero, *map(key_of, chain(one, tolerance))))

    removed = np.zeros(LENGTH, np.int64)
    for one in first:
        revealed = chain(one, tolerance)[dropped:][:1]  # s_{D+1}; nothing if D = T
        for seed in revealed:
            removed += noise(parts[dropped + 1 :], tuple(map(key_of, chain(seed, tolerance - dropped))))

    kept = np.zeros(LENGTH, np.int64)
    for zero, one in zip(fresh, first, strict=True):
        kept += noise(parts[: dropped + 1], (zero, *map(key_of, chain(one, dropped))))
    assert np.array_equal(sent - removed, kept)

    honest = sharing - dropped - corrupt
    assert honest * sum(parts[: dropped + 1]) >= variance
    # All survivors' noise is left, that of the devices assumed corrupt as well: four standard errors.
    expected = variance * len(survivors) / honest
    assert abs((kept**2).mean() / expected - 1) < 4 * (2 / LENGTH) ** 0.5
