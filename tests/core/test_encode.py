import hashlib
from fractions import Fraction
from math import hypot, isqrt, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from covey import ring
from covey.accounting.norms import rounded_norms
from covey.encode import (
    FINEST,
    Integers,
    Part,
    Shape,
    Vectors,
    clip,
    decode,
    encode,
    finest,
    is_finite,
    laid_out,
    squared_sensitivity,
    zero,
)
from covey.errors import InputError
from covey.stream import Stream

Floats = NDArray[np.float64]

PARTS = (Part("update", 3, 10.0, 1000.0), Part("loss", 1, 20.0, 1000.0))

finite = st.floats(allow_nan=False, allow_infinity=False)
lengths = st.integers(1, 5)
shapes = st.dictionaries(
    st.sampled_from(["update", "loss", "weight", "counts"]),
    st.builds(Shape, lengths, st.floats(1e-6, 1e4), st.floats(0.01, 1), st.just(value=False)),
    min_size=1,
)


def coins(*name: object) -> Stream:
    return Stream(hashlib.sha256(repr(name).encode()).digest())


class NoCoins(Stream):
    """Every coin falls one way: all elements are rounded up, or all down."""

    def __init__(self, word: int) -> None:
        super().__init__(bytes(32))
        self.word = word

    def words32(self, count: int) -> NDArray[np.uint32]:
        return np.full(count, self.word, np.uint32)


UP, DOWN = NoCoins(0), NoCoins(0xFFFFFFFF)


@st.composite
def near(draw: st.DrawFn, length: int, norm: float) -> Floats:
    """Vectors shorter and longer than a clip norm, on it exactly, and of any size at all."""
    kind = draw(st.sampled_from(["around", "on one axis", "even", "any", "lattice"]))
    if kind == "on one axis":
        axis = draw(st.integers(0, length - 1))
        sign = draw(st.sampled_from([-1.0, 1.0]))
        return np.where(np.arange(length) == axis, sign * norm, 0.0)
    if kind == "even":
        return np.full(length, norm / sqrt(length))
    if kind == "lattice":
        return draw(hnp.arrays(np.float64, length, elements=st.integers(-3, 3).map(float)))
    if kind == "around":
        return draw(hnp.arrays(np.float64, length, elements=st.floats(-2 * norm, 2 * norm)))
    return draw(hnp.arrays(np.float64, length, elements=finite))


@st.composite
def answers(draw: st.DrawFn) -> tuple[tuple[Part, ...], Vectors]:
    """Parts that share some Δ, and rows of them; at times all rows agree."""
    wanted, count = draw(shapes), draw(st.integers(0, 6))
    parts = laid_out(wanted, draw(st.sampled_from([1, 7, 64, 1024, 1 << 20, 1 << 28])))
    one = {part.name: draw(near(part.length, part.clip)) for part in parts}
    if draw(st.booleans()):
        return parts, {name: np.tile(row, (count, 1)) for name, row in one.items()}
    return parts, {
        part.name: np.array([draw(near(part.length, part.clip)) for _ in range(count)]).reshape(
            count, part.length
        )
        for part in parts
    }


def row(rows: Vectors, index: int) -> Vectors:
    return {name: each[index : index + 1] for name, each in rows.items()}


def squared(vector: Integers) -> int:
    """Exact, in Python's integers."""
    return sum(int(element) ** 2 for element in vector)


def longest(parts: tuple[Part, ...]) -> float:
    """D2: the most that one row may move the sum."""
    return rounded_norms(sqrt(squared_sensitivity(parts)), sum(part.length for part in parts)).l2


def clipped(value: Floats, norm: float) -> list[float]:
    """Clipping written a second time, element by element and exact in the norm."""
    length = hypot(*value.tolist())
    return [float(x) if length <= norm else float(x) / length * norm for x in value]


# -- each row by itself


@given(answers(), st.binary(max_size=4))
def test_no_row_is_longer_than_the_accountant_believes(
    case: tuple[tuple[Part, ...], Vectors], seed: bytes
) -> None:
    parts, rows = case
    for index in range(len(next(iter(rows.values())))):
        alone = encode(parts, row(rows, index), coins(seed, index))
        assert squared(alone) <= Fraction(longest(parts)) ** 2


@given(answers(), st.sampled_from([UP, DOWN]))
def test_no_coins_make_a_row_longer(case: tuple[tuple[Part, ...], Vectors], worst: Stream) -> None:
    """Also not if they always fall the same way: after some tries a row is cut off instead."""
    parts, rows = case
    for index in range(len(next(iter(rows.values())))):
        assert squared(encode(parts, row(rows, index), worst)) <= Fraction(longest(parts)) ** 2


@given(answers())
def test_a_row_is_rounded_to_a_neighbouring_integer(case: tuple[tuple[Part, ...], Vectors]) -> None:
    parts, rows = case
    for index in range(len(next(iter(rows.values())))):
        alone = encode(parts, row(rows, index), coins(index))
        wanted = [
            Fraction(part.scale) * Fraction(element)
            for part in parts
            for element in clipped(rows[part.name][index], part.clip)
        ]
        slack = Fraction(2) ** -40 * (1 << 28)  # of clipping in floats at the largest Δ here
        for element, exact in zip(alone.tolist(), wanted, strict=True):
            assert abs(element - exact) < 1 + slack


def test_rows_are_rounded_one_by_one() -> None:
    """Ten rows of a third each are ten coins, not one coin for their sum."""
    parts = (Part("a", 1, 1.0, 1.0),)
    thirds = {"a": np.full((10, 1), 1 / 3)}
    assert encode(parts, thirds, UP).tolist() == [10]
    assert encode(parts, thirds, DOWN).tolist() == [0]
    found = {int(encode(parts, thirds, coins(toss))[0]) for toss in range(40)}
    assert len(found) > 3


def test_one_rows_coins_do_not_hang_on_anothers_numbers() -> None:
    """Whole numbers stand as they are whatever the coins: no row is rounded as part of another."""
    parts = (Part("a", 2, 100.0, 1.0),)
    rows = {"a": np.array([[3.0, -4.0], [0.0, 0.0], [10.0, 20.0]])}
    assert all(encode(parts, rows, each).tolist() == [13, 16] for each in (UP, DOWN, coins(1)))


def test_rounding_is_unbiased() -> None:
    parts = (Part("a", 1000, 1000.0, 1.0),)
    value = np.linspace(-3.0, 3.0, 1000)[None]
    mean = np.mean([encode(parts, {"a": value}, coins(toss)) for toss in range(400)], axis=0)
    error = mean - value[0]
    assert abs(error.mean()) < 4 * 0.5 / sqrt(400 * 1000)
    assert np.abs(error).max() < 5 * 0.5 / sqrt(400)


def test_the_same_coins_round_the_same() -> None:
    rows = {"update": np.full((5, 3), 0.3333), "loss": np.full((5, 1), 0.7777)}
    assert encode(PARTS, rows, coins("a")).tolist() == encode(PARTS, rows, coins("a")).tolist()
    assert encode(PARTS, rows, coins("a")).tolist() != encode(PARTS, rows, coins("b")).tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["update", "loss"])
def test_a_row_that_is_not_finite_counts_as_zero_and_no_other_does(bad: float, where: str) -> None:
    rows = {"update": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), "loss": np.array([[4.0], [5.0]])}
    assert is_finite(rows)
    rows[where][0, -1] = bad
    assert not is_finite(rows)
    assert encode(PARTS, rows, DOWN).tolist() == [4000, 5000, 6000, 5000]


@given(answers(), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_rows_of_nothing_finite_are_the_zero_vector(
    case: tuple[tuple[Part, ...], Vectors], bad: float
) -> None:
    parts, rows = case
    spoilt = {name: np.where(np.arange(each.shape[1]) == 0, bad, each) for name, each in rows.items()}
    assert encode(parts, spoilt, UP).tolist() == zero(parts).tolist()


def test_no_rows_are_the_zero_vector() -> None:
    none = {"update": np.zeros((0, 3)), "loss": np.zeros((0, 1))}
    found = encode(PARTS, none, coins(1))
    assert found.tolist() == zero(PARTS).tolist() == [0, 0, 0, 0]
    assert found.dtype == zero(PARTS).dtype == np.int64


def test_an_example_moves_the_sum_by_its_own_row_only() -> None:
    parts = (Part("a", 2, 5.0, 100.0),)
    rows = np.array([[1.0, 2.0], [300.0, 400.0], [-1.0, 0.5]])
    without = encode(parts, {"a": rows[[0, 2]]}, DOWN)
    moved = encode(parts, {"a": rows}, DOWN) - without
    assert moved.tolist() == [300, 400]


# -- clipping


def test_elements_are_clipped_and_scaled_by_hand() -> None:
    rows = {"update": np.array([[30.0, -40.0, 0.0]]), "loss": np.array([[-1.25]])}
    assert encode(PARTS, rows, coins(1)).tolist() == [6000, -8000, 0, -1250]


@pytest.mark.parametrize("huge", [1e154, 1e300, 1.5e308])
def test_huge_finite_values_keep_their_direction(huge: float) -> None:
    parts = (Part("a", 2, 10.0, 1000.0),)
    found = encode(parts, {"a": np.array([[huge, -huge / 2]])}, DOWN)
    assert found.tolist() == [8944, -4473]


def test_a_norm_beyond_floats_is_still_clipped() -> None:
    parts = (Part("a", 4, 10.0, 1000.0),)
    assert encode(parts, {"a": np.full((1, 4), 1.7e308)}, DOWN).tolist() == [5000] * 4


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1e-310, -1e-300])
def test_tiny_values_round_to_zero(value: float) -> None:
    rows = {"update": np.full((1, 3), value), "loss": np.array([[value]])}
    assert np.abs(encode(PARTS, rows, coins(1))).max() <= 1
    assert not encode(PARTS, {name: np.abs(each) for name, each in rows.items()}, DOWN).any()


@given(st.floats(1e-3, 1e6), hnp.arrays(np.float64, st.integers(1, 8), elements=finite))
def test_clip_shortens_and_never_turns(norm: float, value: Floats) -> None:
    found = clip(value, norm)
    assert hypot(*found.tolist()) <= norm * (1 + 1e-12)
    assert (np.sign(found) * np.sign(value) >= 0).all()
    if hypot(*value.tolist()) <= norm * (1 - 1e-12):
        np.testing.assert_array_equal(found, value)


@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 5), st.integers(1, 4)), elements=st.floats(-9, 9)))
def test_clip_takes_each_row_by_itself(rows: Floats) -> None:
    expected = [clip(each, 2.0).tolist() for each in rows]
    assert clip(rows, 2.0).tolist() == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clip_leaves_the_non_finite_for_encode_to_refuse(bad: float) -> None:
    assert not np.isfinite(clip(np.array([1.0, bad]), 1.0)).all()


def test_clip_of_nothing_is_nothing() -> None:
    assert clip(np.zeros(0), 1.0).shape == (0,)
    assert clip(np.zeros((0, 3)), 1.0).shape == (0, 3)


# -- scales


@given(shapes, st.integers(1, 1 << 31))
def test_parts_share_the_norm_by_their_shares(wanted: dict[str, Shape], norm: int) -> None:
    parts = laid_out(wanted, norm)
    assert [(part.name, part.length, part.clip) for part in parts] == [
        (name, shape.length, shape.clip) for name, shape in wanted.items()
    ]
    assert squared_sensitivity(parts) <= norm**2
    whole = sum(shape.share for shape in wanted.values())
    for part, shape in zip(parts, wanted.values(), strict=True):
        if part.scale < FINEST:
            assert (part.scale * part.clip) ** 2 == pytest.approx(norm**2 * shape.share / whole, rel=1e-9)


def test_a_larger_share_is_a_finer_part() -> None:
    one, other = laid_out({"a": Shape(1, 2.0, 0.64), "b": Shape(9, 4.0, 0.36)}, 1000)
    assert one.scale == pytest.approx(400)  # 0.8 of the norm, over its clip
    assert other.scale == pytest.approx(150)


def test_a_tiny_clip_norm_keeps_to_the_largest_scale_of_a_plan() -> None:
    (part,) = laid_out({"update": Shape(3, 1e-12)}, 1 << 31)
    assert part == Part("update", 3, 1e-12, float(FINEST))


def test_laid_out_refuses_what_has_no_resolution() -> None:
    with pytest.raises(InputError, match=r"counts: a clip norm of 1e\+09 leaves no resolution") as caught:
        laid_out({"counts": Shape(10, 1e9)}, 0)
    assert "fewer devices" in caught.value.hint


def test_sensitivity_is_the_joint_norm_exactly() -> None:
    assert squared_sensitivity((Part("a", 1, 3.0, 1.0), Part("b", 1, 4.0, 1.0))) == 25
    assert squared_sensitivity((Part("a", 7, 0.5, 3.0),)) == Fraction(9, 4)
    assert squared_sensitivity(()) == 0


@given(st.integers(1, 1 << 20), st.integers(1, 100_000))
def test_the_finest_norm_does_not_wrap_and_is_nearly_the_largest(length: int, rows: int) -> None:
    norm = finest(length, rows)
    if norm >= 1:
        assert rows * rounded_norms(float(norm), length).l2 < ring.HALF
        assert norm + isqrt(length) + 3 > (ring.HALF - 1) // rows
    else:
        assert rows * (1 + sqrt(length) + 2) > (ring.HALF - 1) - 2 * rows


@pytest.mark.parametrize("devices", [1, 2, 3, 1000])
def test_a_fleet_at_its_limit_does_not_wrap(devices: int) -> None:
    parts = laid_out({"one": Shape(1, 7.3)}, finest(1, devices))
    largest = encode(parts, {"one": np.array([[1e300]])}, UP)
    total = ring.centre(ring.add([ring.wrap(largest)] * devices, 1))
    assert decode(parts, total)["one"][0] == pytest.approx(devices * 7.3, rel=1e-5)


# -- shapes


@pytest.mark.parametrize(
    "rows",
    [
        {"update": np.zeros((1, 3))},
        {"update": np.zeros((1, 3)), "loss": np.zeros((1, 1)), "more": np.zeros((1, 1))},
        {"update": np.zeros((1, 3)), "lost": np.zeros((1, 1))},
        {"update": np.zeros((1, 2)), "loss": np.zeros((1, 1))},
        {"update": np.zeros((1, 4)), "loss": np.zeros((1, 0))},
        {"update": np.zeros(3), "loss": np.zeros(1)},
        {"update": np.zeros((1, 1, 3)), "loss": np.zeros((1, 1))},
    ],
    ids=["missing", "extra", "renamed", "short", "shifted", "no rows", "deep"],
)
def test_another_shape_of_answer_is_the_callers_defect(rows: Vectors) -> None:
    with pytest.raises(ValueError, match=r"answers \[|shape \("):
        encode(PARTS, rows, coins(1))


def test_parts_with_unlike_numbers_of_rows_are_the_callers_defect() -> None:
    with pytest.raises(ValueError, match="shape"):
        encode(PARTS, {"update": np.zeros((2, 3)), "loss": np.zeros((3, 1))}, coins(1))


def test_parts_lie_in_the_order_of_the_plan_not_of_the_answer() -> None:
    rows = {"loss": np.array([[4.0]]), "update": np.array([[1.0, 2.0, 3.0]])}
    assert encode(PARTS, rows, coins(1)).tolist() == [1000, 2000, 3000, 4000]


def test_decode_by_hand() -> None:
    sums = decode(PARTS, np.array([1500, -250, 0, 7], np.int64))
    assert {name: values.tolist() for name, values in sums.items()} == {
        "update": [1.5, -0.25, 0.0],
        "loss": [0.007],
    }
    assert all(values.dtype == np.float64 for values in sums.values())
