from bisect import bisect_right
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from covey.errors import InputError
from covey.noise import table
from covey.noise.discrete_gaussian import discrete_gaussian
from covey.noise.skellam import bessel, skellam
from covey.noise.table import Table, tabulate
from covey.stream import Stream
from noise_laws import WHOLE, weights

KEY = bytes(range(32))

# Any shape: flat, steep, and with tails so thin that many thresholds agree in their upper 64 bits.
halves = st.lists(
    st.builds(lambda bits, low: (low | 1) << bits, st.integers(0, 159), st.integers(0, 1 << 20)),
    min_size=1,
    max_size=12,
).map(lambda tail: [1 << 160, *tail])


def inverted(law: Table, uniforms: list[int]) -> list[int]:
    """What the table makes of given 128-bit integers."""
    out = np.empty(len(uniforms), np.int64)
    words = [half for u in uniforms for half in (u & (1 << 64) - 1, u >> 64)]
    law._invert(np.array(words, np.uint64), out)
    return out.tolist()


def plainly(law: Table, uniforms: list[int]) -> list[int]:
    thresholds = list(accumulate(weights(law).values()))[:-1]
    return [bisect_right(thresholds, uniform) - law.largest for uniform in uniforms]


def neighbours(points: list[int]) -> list[int]:
    return [u for point in points for u in (point - 1, point, point + 1) if 0 <= u < WHOLE]


@given(halves)
def test_weights_add_up_to_2_to_the_128_and_are_symmetric(half: list[int]) -> None:
    law = weights(tabulate(half))
    assert sum(law.values()) == WHOLE
    assert all(law[value] == law[-value] for value in law)


@given(halves)
def test_weights_are_the_given_ratios(half: list[int]) -> None:
    law, total = tabulate(half), 2 * sum(half) - half[0]
    for value, weight in enumerate(half[1:], start=1):
        lost = weight * WHOLE - law.weight(value) * total  # in units of 1 / total
        assert 0 <= lost <= total + (total >> 30)


def test_a_weight_outside_the_table_is_zero() -> None:
    law = skellam(3)
    assert [law.weight(sign * (law.largest + more)) for sign in (-1, 1) for more in (1, 2, 99)] == [0] * 6
    assert law.weight(law.largest) > 0


@given(halves)
@example([1 << 160, 1 << 40, 1 << 40, 1 << 39, 1 << 33])  # all thresholds tie but for the centre
def test_uniforms_at_and_next_to_every_threshold(half: list[int]) -> None:
    law = tabulate(half)
    uniforms = neighbours(list(accumulate(weights(law).values())))
    assert inverted(law, uniforms) == plainly(law, uniforms)


def test_thin_tails_do_tie_in_their_upper_words() -> None:
    law = skellam(100)
    assert np.count_nonzero(law.upper[1:] == law.upper[:-1]) > 20
    uniforms = neighbours(list(accumulate(weights(law).values())))
    assert inverted(law, uniforms) == plainly(law, uniforms)


@pytest.mark.parametrize("variance", [1, 50, 52632])
def test_uniforms_at_the_borders_of_the_guide(variance: int) -> None:
    law = skellam(variance)
    uniforms = neighbours([bucket << 112 for bucket in range(0, (1 << 16) + 1, 97)])
    assert inverted(law, uniforms) == plainly(law, uniforms)


@given(halves, st.lists(st.integers(0, WHOLE - 1), min_size=1, max_size=50))
def test_any_uniforms(half: list[int], uniforms: list[int]) -> None:
    law = tabulate(half)
    assert inverted(law, uniforms) == plainly(law, uniforms)


def test_the_ends_of_the_range() -> None:
    law = skellam(9)
    assert inverted(law, [0, WHOLE - 1]) == [-law.largest, law.largest]


@pytest.mark.parametrize("variance", [0, 1, 10_000])
@pytest.mark.parametrize("length", [0, 1, 100, (1 << 13) + 3])
def test_a_draw_consumes_16_bytes_a_coordinate(variance: int, length: int) -> None:
    used, skipped = Stream(KEY), Stream(KEY)
    drawn = skellam(variance).draw(used, length)
    skipped.take(16 * length)
    assert (drawn.shape, drawn.dtype) == ((length,), np.dtype("int64"))
    assert used.take(64) == skipped.take(64)


@given(st.integers(0, 20_000))
def test_a_draw_in_two_pieces_is_the_draw_in_one(cut: int) -> None:
    law, stream = skellam(1000), Stream(KEY)
    pieces = [law.draw(stream, cut), law.draw(stream, 20_000 - cut)]
    assert np.array_equal(np.concatenate(pieces), law.draw(Stream(KEY), 20_000))


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        skellam(1).draw(Stream(KEY), -1)


def test_a_table_cannot_be_written_to() -> None:
    law = skellam(4)
    for array in (law.upper, law.lower, law.guide):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("variance", [1, 2, 10, 1000, 30_000])
def test_less_than_2_to_the_minus_160_lies_beyond_the_reach(variance: int) -> None:
    end = table.reach(variance)
    values = bessel(variance, 2 * end)
    assert 2 * sum(values[end + 1 :]) << 160 < 2 * sum(values) - values[0]


@pytest.mark.parametrize("variance", [-1, table.LARGEST_VARIANCE + 1])
def test_variances_out_of_range_are_refused(variance: int) -> None:
    with pytest.raises(InputError, match="outside 0"):
        skellam(variance)
    with pytest.raises(InputError, match="outside 0"):
        discrete_gaussian(variance)


def test_the_largest_variance_has_a_table() -> None:
    law = skellam(table.LARGEST_VARIANCE)
    assert 13 << 13 > law.largest > 12 << 13
    assert law.tv < 2.0**-108
