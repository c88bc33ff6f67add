from math import fsum, hypot, isqrt, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from covey import ring
from covey.encode import Part, Vectors, clip, decode, encode, fits, is_finite, scaled, sensitivity, zero
from covey.errors import InputError

Floats = NDArray[np.float64]

PARTS = (Part("update", 3, 10.0, 1000), Part("loss", 1, 20.0, 1000))

finite = st.floats(allow_nan=False, allow_infinity=False)
shapes = st.dictionaries(
    st.sampled_from(["update", "loss", "weight", "counts"]),
    st.tuples(st.integers(1, 5), st.floats(1e-6, 1e4)),
    min_size=1,
)


@st.composite
def near(draw: st.DrawFn, length: int, norm: float) -> Floats:
    """Vectors shorter and longer than a clip norm, on it exactly, and of any size at all."""
    kind = draw(st.sampled_from(["around", "on one axis", "even", "any"]))
    if kind == "on one axis":
        axis = draw(st.integers(0, length - 1))
        sign = draw(st.sampled_from([-1.0, 1.0]))
        return np.where(np.arange(length) == axis, sign * norm, 0.0)
    if kind == "even":
        return np.full(length, norm / sqrt(length))
    if kind == "around":
        return draw(hnp.arrays(np.float64, length, elements=st.floats(-2 * norm, 2 * norm)))
    return draw(hnp.arrays(np.float64, length, elements=finite))


@st.composite
def federations(draw: st.DrawFn) -> tuple[tuple[Part, ...], list[Vectors]]:
    """Parts with the finest scales for a fleet, and one answer a device; at times all devices agree."""
    wanted, devices = draw(shapes), draw(st.integers(1, 6))
    parts = scaled(wanted, devices)
    answers = [
        {name: draw(near(length, norm)) for name, (length, norm) in wanted.items()} for _ in range(devices)
    ]
    return parts, [answers[0]] * devices if draw(st.booleans()) else answers


def split(parts: tuple[Part, ...], vector: ring.Ring) -> dict[str, list[int]]:
    """A device's signed integers by part, as Python integers."""
    whole = ring.centre(vector).tolist()
    ends = np.cumsum([part.length for part in parts]).tolist()
    return {part.name: whole[end - part.length : end] for part, end in zip(parts, ends, strict=True)}


def clipped(value: Floats, norm: float) -> list[float]:
    """Clipping written a second time, element by element and exact in the norm."""
    length = hypot(*value.tolist())
    return [float(x) if length <= norm else float(x) / length * norm for x in value]


@given(federations())
def test_the_sum_is_the_sum_of_clipped_answers(case: tuple[tuple[Part, ...], list[Vectors]]) -> None:
    parts, answers = case
    total = ring.add((encode(parts, answer) for answer in answers), sum(part.length for part in parts))
    sums = decode(parts, total)
    assert list(sums) == [part.name for part in parts]
    for part in parts:
        kept = [clipped(answer[part.name], part.clip) for answer in answers]
        expected = [fsum(each) for each in zip(*kept, strict=True)]
        slack = sum(units_off(part, each) for each in kept) / part.scale + len(answers) * 1e-12 * part.clip
        assert sums[part.name].dtype == np.float64
        np.testing.assert_allclose(sums[part.name], expected, rtol=0, atol=slack)


def units_off(part: Part, kept: list[float]) -> float:
    """Half a unit for rounding; up to two where rounding to nearest could leave the norm bound."""
    return 0.5 if hypot(*kept) < part.clip - sqrt(part.length) / part.scale else 2.0


@given(federations())
def test_integers_stay_within_the_norm_bound_exactly(
    case: tuple[tuple[Part, ...], list[Vectors]],
) -> None:
    parts, answers = case
    for answer in answers:
        whole = split(parts, encode(parts, answer))
        squares = {name: sum(element**2 for element in elements) for name, elements in whole.items()}
        assert all(squares[part.name] <= part.bound**2 for part in parts)
        assert sum(squares.values()) <= sensitivity(parts) ** 2


@given(federations())
def test_the_sum_never_wraps(case: tuple[tuple[Part, ...], list[Vectors]]) -> None:
    parts, answers = case
    each = [ring.centre(encode(parts, answer)).tolist() for answer in answers]
    totals = [sum(column) for column in zip(*each, strict=True)]
    assert all(abs(total) < ring.HALF for total in totals)
    assert ring.centre(ring.add((encode(parts, a) for a in answers), len(totals))).tolist() == totals


@pytest.mark.parametrize("devices", [1, 2, 3, 1000])
def test_a_fleet_at_its_limit_does_not_wrap(devices: int) -> None:
    parts = scaled({"one": (1, 7.3)}, devices)
    largest = encode(parts, {"one": np.array([1e300])})
    total = ring.add([largest] * devices, 1)
    assert decode(parts, total)["one"][0] == pytest.approx(devices * 7.3, rel=1e-5)


@given(shapes, st.integers(1, 10_000))
def test_scaled_fits_and_is_as_fine_as_it_can_be(wanted: dict[str, tuple[int, float]], devices: int) -> None:
    parts = scaled(wanted, devices)
    assert [(part.name, part.length, part.clip) for part in parts] == [
        (name, length, norm) for name, (length, norm) in wanted.items()
    ]
    assert fits(parts, devices)
    assert all(1 <= part.scale <= 1 << 32 for part in parts)
    doubled = tuple(Part(p.name, p.length, p.clip, 2 * p.scale) for p in parts)
    assert not fits(doubled, devices) or any(part.scale == 1 << 32 for part in parts)


def test_a_tiny_clip_norm_keeps_to_the_largest_scale_of_a_plan() -> None:
    assert scaled({"update": (3, 1e-3)}, 3) == (Part("update", 3, 1e-3, 1 << 32),)


def test_scaled_refuses_what_no_integer_scale_holds() -> None:
    with pytest.raises(InputError, match=r"counts: a clip norm of 1e\+09 over 3 devices") as caught:
        scaled({"counts": (10, 1e9)}, 3)
    assert "fewer devices" in caught.value.hint


def test_sensitivity_is_the_joint_norm_rounded_up() -> None:
    assert sensitivity((Part("a", 1, 3.0, 1), Part("b", 1, 4.0, 1))) == 5
    assert sensitivity((Part("a", 1, 1.0, 1), Part("b", 1, 1.0, 1))) == 2
    assert sensitivity((Part("a", 1, 2.9, 1),)) == 2
    assert sensitivity((Part("a", 1, 0.5, 1),)) == 0
    assert sensitivity(()) == 0


@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=4))
def test_sensitivity_is_exact(bounds: list[int]) -> None:
    parts = [Part(str(i), 1, float(bound), 1) for i, bound in enumerate(bounds)]
    squared = sum(part.bound**2 for part in parts)
    found = sensitivity(parts)
    assert found**2 >= squared
    assert found == isqrt(squared) or (found - 1) ** 2 < squared


def test_fits_is_strict() -> None:
    part = Part("a", 1, float(1 << 29), 1)
    assert fits((part,), 3)
    assert not fits((part,), 4)  # 2^31 is already negative


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["update", "loss"])
def test_a_non_finite_element_anywhere_empties_the_answer(bad: float, where: str) -> None:
    answer = {"update": np.array([1.0, 2.0, 3.0]), "loss": np.array([4.0])}
    assert is_finite(answer)
    assert encode(PARTS, answer).any()
    answer[where][-1] = bad
    assert not is_finite(answer)
    sent = encode(PARTS, answer)
    assert sent.tolist() == zero(PARTS).tolist() == [0, 0, 0, 0]
    assert sent.dtype == zero(PARTS).dtype == np.uint32


def test_elements_are_clipped_scaled_and_rounded_by_hand() -> None:
    answer = {"update": np.array([30.0, -40.0, 0.0]), "loss": np.array([-1.23456])}
    assert split(PARTS, encode(PARTS, answer)) == {"update": [6000, -8000, 0], "loss": [-1235]}


def test_rounding_to_nearest_gives_way_to_the_bound() -> None:
    parts = (Part("a", 4, 2.0, 1),)
    assert split(parts, encode(parts, {"a": np.full(4, 0.9)})) == {"a": [1, 1, 1, 1]}
    parts = (Part("a", 5, 2.0, 1),)
    assert split(parts, encode(parts, {"a": np.full(5, 0.89)})) == {"a": [0, 0, 0, 0, 0]}


def test_a_last_bit_excess_is_taken_off() -> None:
    # 0.1 * 3 and the like: floats whose product with the scale truncates above the rounded-down bound
    for clip_norm in np.linspace(0.1, 3.0, 500):
        part = Part("a", 1, float(clip_norm), 3)
        (element,) = split((part,), encode((part,), {"a": np.array([-1e9])}))["a"]
        assert -part.bound <= element <= -part.bound + 1


@pytest.mark.parametrize("huge", [1e154, 1e300, 1.5e308])
def test_huge_finite_values_keep_their_direction(huge: float) -> None:
    parts = (Part("a", 2, 10.0, 1000),)
    assert split(parts, encode(parts, {"a": np.array([huge, -huge / 2])})) == {"a": [8944, -4472]}


def test_a_norm_beyond_floats_is_still_bounded() -> None:
    parts = (Part("a", 4, 10.0, 1000),)
    whole = split(parts, encode(parts, {"a": np.full(4, 1.7e308)}))["a"]
    assert sum(element**2 for element in whole) <= 10_000**2  # today the zero vector


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1e-310, -1e-300])
def test_tiny_values_round_to_zero(value: float) -> None:
    assert not encode(PARTS, {"update": np.full(3, value), "loss": np.array([value])}).any()


@given(st.floats(1e-3, 1e6), hnp.arrays(np.float64, st.integers(1, 8), elements=finite))
def test_clip_shortens_and_never_turns(norm: float, value: Floats) -> None:
    found = clip(value, norm)
    assert hypot(*found.tolist()) <= norm * (1 + 1e-12)
    assert (np.sign(found) * np.sign(value) >= 0).all()
    if hypot(*value.tolist()) <= norm * (1 - 1e-12):
        np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clip_leaves_the_non_finite_for_encode_to_refuse(bad: float) -> None:
    assert not np.isfinite(clip(np.array([1.0, bad]), 1.0)).all()


def test_clip_of_nothing_is_nothing() -> None:
    assert clip(np.zeros(0), 1.0).shape == (0,)


@pytest.mark.parametrize(
    "answer",
    [
        {"update": np.zeros(3)},
        {"update": np.zeros(3), "loss": np.zeros(1), "more": np.zeros(1)},
        {"update": np.zeros(3), "lost": np.zeros(1)},
        {"update": np.zeros(2), "loss": np.zeros(1)},
        {"update": np.zeros(4), "loss": np.zeros(0)},
        {"update": np.zeros((3, 1)), "loss": np.zeros(1)},
        {"update": np.zeros(3), "loss": np.zeros(())},
    ],
    ids=["missing", "extra", "renamed", "short", "shifted", "matrix", "scalar"],
)
def test_another_shape_of_answer_is_the_callers_defect(answer: Vectors) -> None:
    with pytest.raises(ValueError, match=r"answers \[|shape \("):
        encode(PARTS, answer)


def test_parts_lie_in_the_order_of_the_plan_not_of_the_answer() -> None:
    answer = {"loss": np.array([4.0]), "update": np.array([1.0, 2.0, 3.0])}
    assert ring.centre(encode(PARTS, answer)).tolist() == [1000, 2000, 3000, 4000]


def test_decode_by_hand() -> None:
    total = ring.wrap(np.array([1500, -250, 0, 7], np.int64))
    sums = decode(PARTS, total)
    assert {name: values.tolist() for name, values in sums.items()} == {
        "update": [1.5, -0.25, 0.0],
        "loss": [0.007],
    }
