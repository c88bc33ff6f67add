"""Adaptive clipping against rounds worked out by hand, its share of the noise, and its bounds."""

from math import exp, sqrt

import msgspec
import numpy as np
import pytest

import line_fleet as line
from covey.accounting import adaptive_clipping
from covey.encode import Part, laid_out
from covey_strategies.beside import Round
from covey_strategies.queries import adaptive, train
from covey_strategies.queries.adaptive import Clip
from digits_fleet import plan_of, rounds
from line_fleet import EXAMPLES, START, Vector, flat, gradient

START_CLIP = Clip(1.5, quantile=0.5, rate=0.2, most=2.0)


def by_hand(number: int) -> tuple[Vector, list[float], list[float]]:
    """Algorithm 1 without noise: the model, and the clip norm and fraction within of each round."""
    x, norm, norms, fractions = flat(START), 1.5, [], []
    for _ in range(number):
        updates, within = [], 0
        for value, label in EXAMPLES.values():
            y = x.copy()
            for _ in range(2):
                y -= 0.5 * gradient(y, value, label)
            length = float(np.linalg.norm(y - x))
            within += length <= norm
            updates.append((y - x) * min(1.0, norm / length))
        x = x + np.mean(updates, axis=0)
        norms.append(norm)
        fractions.append(within / 3)
        norm *= exp(-0.2 * (within / 3 - 0.5))
    return x, norms, fractions


def test_five_rounds_by_hand() -> None:
    strategy = line.private(line.TRAIN, beside=[START_CLIP])
    grid, model, norms = line.grid(line.devices()), START, []
    for number in range(1, 6):
        (clip,) = strategy.beside
        assert isinstance(clip, Clip)
        norms.append(clip.norm)
        model = rounds(strategy, grid, model, range(number, number + 1))
    x, expected, fractions = by_hand(5)
    assert len(set(fractions)) > 1  # it goes both ways, or it would show little
    assert norms == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(flat(model), x, atol=2e-6)


def test_the_plan_has_the_rounds_clip_norm_and_one_more_part() -> None:
    plan = plan_of(line.asked(line.private(line.TRAIN, beside=[START_CLIP])))
    parts = {part.name: part for part in plan.parts}
    assert parts["update"].clip == 1.5
    assert (parts["within"].length, parts["within"].clip) == (1, 0.5)


@pytest.mark.parametrize("multiplier", [0.5, 4.0])
def test_noise_is_shared_out_as_the_papers_theorem_has_it(multiplier: float) -> None:
    """Theorem 1: with noise z on the whole, z_Δ on the update and its σ_b on the count of bits."""  # noqa: RUF002
    task = msgspec.structs.replace(line.TRAIN, within=True, update_clip=0.5)
    shapes = train.shapes(task, START)
    del shapes["loss"]
    parts: dict[str, Part] = {part.name: part for part in laid_out(shapes, 1 << 20)}
    deviation = multiplier * (1 << 20)
    on_update, on_count = deviation / parts["update"].scale, deviation / parts["within"].scale
    split = adaptive_clipping(multiplier, on_count, 0.5)
    assert on_update == pytest.approx(split.update_multiplier * 0.5, rel=1e-9)
    assert on_count == pytest.approx(multiplier / (2 * sqrt(adaptive.SHARE / (1 + adaptive.SHARE))), rel=1e-9)


@pytest.mark.parametrize(("length", "bit"), [(0.4999, 0.5), (0.5, 0.5), (0.5001, -0.5), (1e200, -0.5)])
def test_the_bit_says_whether_the_update_was_within(length: float, bit: float) -> None:
    task = msgspec.structs.replace(line.TRAIN, update_clip=0.5)
    assert adaptive.bits(task, np.array([[0.0, length]])).tolist() == [[bit]]


@pytest.mark.parametrize(
    ("sum_of_bits", "norm"),
    [(0.0, 1.0), (5.0, exp(-0.1)), (-5.0, exp(0.1)), (-1e9, exp(0.1)), (1e9, exp(-0.1))],
)
def test_it_moves_geometrically(sum_of_bits: float, norm: float) -> None:
    """Ten devices; noise may take the sum of bits anywhere."""
    moved = Clip(1.0, 0.5, 0.2, 2.0).learnt(Round({}, {"within": np.array([sum_of_bits])}, 10, 10))
    assert moved.norm == pytest.approx(norm)


@pytest.mark.parametrize(("norm", "sum_of_bits", "moved"), [(1.99, -5.0, 2.0), (2e-6, 5.0, 2e-6)])
def test_it_stays_between_its_bounds(norm: float, sum_of_bits: float, moved: float) -> None:
    found = Clip(norm, 0.5, 0.2, 2.0).learnt(Round({}, {"within": np.array([sum_of_bits])}, 10, 10))
    assert found.norm == pytest.approx(moved)


def test_it_is_in_a_checkpoint() -> None:
    assert START_CLIP.restored(Clip(0.123, 0.5, 0.2, 2.0).saved()).norm == 0.123
    assert START_CLIP.restored({}) == START_CLIP
