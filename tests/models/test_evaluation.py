import math

import numpy as np
import pytest
import torch
from torch import nn

from covey.examples import Examples
from covey_models.evaluation import BATCH, evaluate, network_predictor


def some(n: int) -> Examples:
    rng = np.random.default_rng(0)
    return Examples(rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 3, n))


def test_counts_and_loss_are_torchs_own() -> None:
    torch.manual_seed(0)
    network, examples = nn.Linear(3, 3), some(BATCH + 100)
    found = evaluate(network, examples, 3)
    logits = network(torch.from_numpy(examples.x)).detach()
    truth = torch.from_numpy(examples.y)
    assert found.confusion.sum() == len(examples)
    assert np.trace(found.confusion) == int((logits.argmax(1) == truth).sum())
    assert found.loss_sum == pytest.approx(
        float(nn.functional.cross_entropy(logits, truth, reduction="sum")), rel=1e-5
    )


def test_a_function_is_as_good_as_a_network() -> None:
    network, examples = nn.Linear(3, 3), some(20)
    one, other = evaluate(network, examples, 3), evaluate(network_predictor(network), examples, 3)
    np.testing.assert_array_equal(one.confusion, other.confusion)
    assert one.loss_sum == other.loss_sum


def test_nothing_gives_zeros() -> None:
    found = evaluate(nn.Linear(3, 3), some(0), 3)
    np.testing.assert_array_equal(found.confusion, np.zeros((3, 3)))
    assert found.loss_sum == 0


def test_a_broken_network_has_no_loss() -> None:
    found = evaluate(lambda x: np.full((len(x), 3), np.nan, np.float32), some(4), 3)
    assert math.isnan(found.loss_sum)


def test_the_networks_mode_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    for training in (True, False):
        network.train(training)
        first, second = evaluate(network, some(30), 3), evaluate(network, some(30), 3)
        assert first.loss_sum == second.loss_sum
        assert network.training is training
