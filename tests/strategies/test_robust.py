"""Robust rules by hand, over real groups, and against a group that somebody spoils."""

from math import sqrt

import msgspec
import numpy as np
import pytest
from flwr.app import ConfigRecord
from flwr.serverapp.strategy import FedAvg
from scipy.optimize import minimize

import line_fleet as line
from covey.errors import RoundAborted
from covey_strategies.asking import Asking
from covey_strategies.private import Private, Recipes
from covey_strategies.protection import Protection
from covey_strategies.robust import Robust, Rule, geometric_median, trimmed_mean
from covey_strategies.wire import to_record
from digits_fleet import FEW, VALIDATE, rounds
from line_fleet import START, Vector, flat, gradient

MEANS = np.array([[1.0, 10.0], [2.0, 0.0], [3.0, 30.0], [100.0, -50.0], [4.0, 20.0]])

EXAMPLES = {node: (0.25 * node - 1.0, node % 2) for node in range(2, 11)}
"""Nine devices, three groups."""


def test_the_median_by_hand() -> None:
    assert Robust("median").combined(MEANS).tolist() == [3.0, 10.0]


def test_the_trimmed_mean_by_hand() -> None:
    assert trimmed_mean(MEANS, 0.2).tolist() == [3.0, 10.0]  # one at either end: (2+3+4)/3, (0+10+20)/3
    assert trimmed_mean(MEANS, 0.19).tolist() == MEANS.mean(axis=0).tolist()  # none
    assert trimmed_mean(MEANS, 0.4).tolist() == [3.0, 10.0]  # two: the median


def test_the_geometric_median_by_hand() -> None:
    """Of a triangle with angles below 120° it is Fermat's point; of four points in convex position, where the
    diagonals cross.
    """
    triangle = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, sqrt(3) / 2]])
    np.testing.assert_allclose(geometric_median(triangle), [0.5, sqrt(3) / 6], atol=1e-6)
    square = np.array([[0.0, 0.0], [4.0, 4.0], [0.0, 4.0], [2.0, 0.0]])
    np.testing.assert_allclose(geometric_median(square), [4 / 3, 4 / 3], atol=1e-3)


def test_the_geometric_median_is_the_least_sum_of_distances() -> None:
    points = np.random.default_rng(0).normal(size=(7, 5))

    def distances(at: Vector) -> float:
        return float(np.linalg.norm(points - at, axis=1).sum())

    best = minimize(distances, points.mean(axis=0), method="BFGS", options={"gtol": 1e-9})
    assert distances(geometric_median(points)) <= best.fun * (1 + 1e-6)


def strategy(rule: Rule | None, largest: int = 3) -> Private:
    asking: Asking = line.asking(protection=Protection(largest=largest))
    robust = None if rule is None else Robust(rule, 0.34)
    return Private(FedAvg(**FEW), asking, Recipes(lambda _: line.TRAIN, VALIDATE, robust=robust))


def updates() -> dict[int, Vector]:
    """Of each device in the first round."""
    found = {}
    for node, (x, label) in EXAMPLES.items():
        y = flat(START)
        for _ in range(2):
            y = y - 0.5 * gradient(y, x, label)
        found[node] = y - flat(START)
    return found


@pytest.mark.parametrize("rule", ["median", "trimmed-mean", "geometric-median"])
def test_a_round_in_three_groups_by_hand(rule: Rule) -> None:
    private, devices = strategy(rule), line.devices(EXAMPLES)
    grid = line.grid(devices)
    model = rounds(private, grid, START, range(1, 2))
    private.configure_train(1, to_record(START), ConfigRecord(), grid)
    groups = [exchange.cohort for exchange in line.open_question(private).exchanges]
    assert sorted(map(len, groups)) == [3, 3, 3]
    means = np.array([np.mean([updates()[node] for node in group], axis=0) for group in groups])
    expected = geometric_median(means) if rule == "geometric-median" else np.sort(means, axis=0)[1]
    np.testing.assert_allclose(flat(model) - flat(START), expected, atol=2e-6)


def test_one_device_that_spoils_its_group_moves_a_mean_and_no_median() -> None:
    task = msgspec.structs.replace(line.TRAIN, update_clip=1e3)
    spoilt = dict(EXAMPLES) | {5: (1e4, 1)}  # an update hundreds of times as long as the others'
    moved = {}
    for rule in (None, "median", "trimmed-mean", "geometric-median"):
        private = strategy(rule)
        private.recipes = Recipes(lambda _: task, VALIDATE, robust=private.recipes.robust)
        honest = flat(rounds(private, line.grid(line.devices(EXAMPLES)), START, range(1, 2)))
        attacked = flat(rounds(private, line.grid(line.devices(spoilt)), START, range(1, 2)))
        moved[rule] = np.linalg.norm(attacked - honest)
    assert moved.pop(None) > 50
    assert all(distance < 2 for distance in moved.values())


def test_two_groups_are_too_few() -> None:
    with pytest.raises(RoundAborted, match="2 groups gave a sum, a robust rule takes 3") as caught:
        rounds(strategy("median", largest=5), line.grid(line.devices(EXAMPLES)), START, range(1, 2))
    assert "largest_cohort" in caught.value.hint
