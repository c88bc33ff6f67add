"""Local training against a step computed by hand, and that nothing but its arguments decides it."""

import numpy as np
import pytest
import torch
from torch import nn

from covey.examples import Examples, Standardise
from covey.plan import Train
from covey_models.registry import find
from covey_models.training import Local, initial, load, parameters_of, train

MODEL = find("digits")
TASK = Train(
    epochs=1,
    batch_size=4,
    learning_rate=0.1,
    momentum=0.0,
    gradient_clip=0.0,
    proximal_mu=0.0,
    weighting="devices",
    examples_cap=1,
    update_clip=1.0,
)


def changed(**values: float) -> Train:
    return Train(**{name: getattr(TASK, name) for name in TASK.__struct_fields__} | values)


def linear(weight: float) -> nn.Linear:
    network = nn.Linear(1, 2, bias=False)
    load(network, {"weight": np.array([[weight], [0.0]], np.float32)})
    return network


def one(x: float = 1.0) -> Local:
    return Local(Examples(np.array([[x]], np.float32), np.array([1])), None, None)


def gradient(weight: float) -> float:
    """Of the cross-entropy -ln p(1) with logits (w, 0): p(0)."""
    return float(1 / (1 + np.exp(-weight)))


def test_a_step_of_sgd() -> None:
    found = train(linear(0.3), one(), TASK, seed=0)
    expected = np.array([[0.3 - 0.1 * gradient(0.3)], [0.1 * gradient(0.3)]])
    np.testing.assert_allclose(found.parameters["weight"], expected, atol=1e-7)
    assert found.loss == pytest.approx(np.log(1 + np.exp(0.3)), rel=1e-6)


def test_momentum_adds_the_last_step() -> None:
    found = train(linear(0.0), one(), changed(epochs=2, momentum=0.5), seed=0).parameters["weight"]
    first = np.array([gradient(0.0), -gradient(0.0)])
    middle = -0.1 * first
    second = gradient(middle[0] - middle[1]) * np.array([1, -1])
    np.testing.assert_allclose(found[:, 0], middle - 0.1 * (second + 0.5 * first), atol=1e-7)


def test_the_gradient_is_clipped_over_all_parameters() -> None:
    found = train(linear(0.0), one(), changed(gradient_clip=0.01), seed=0).parameters["weight"]
    assert np.linalg.norm(found) == pytest.approx(0.1 * 0.01, rel=1e-5)


def test_the_proximal_term_pulls_back_to_the_start() -> None:
    free = train(linear(0.0), one(), changed(epochs=50), seed=0).parameters["weight"]
    held = train(linear(0.0), one(), changed(epochs=50, proximal_mu=5.0), seed=0).parameters["weight"]
    assert np.linalg.norm(held) < 0.2 * np.linalg.norm(free)


def test_a_correction_is_added_to_each_clipped_gradient_before_momentum() -> None:
    correction = {"weight": np.array([[0.25], [-1.0]], np.float32)}
    task = changed(epochs=2, momentum=0.5, gradient_clip=0.01)
    found = train(linear(0.0), one(), task, 0, correction).parameters["weight"]
    clipped = 0.01 * np.array([1, -1]) / np.sqrt(2)  # both gradients are along it, and longer than the clip
    step = np.add(clipped, [0.25, -1.0])
    np.testing.assert_allclose(found[:, 0], -0.1 * (step + 1.5 * step), atol=1e-6)


def test_inputs_are_scaled_after_they_are_augmented() -> None:
    scale = Standardise((2.0,), (4.0,))
    local = Local(one(4.0).examples, scale, lambda x, _: x + 2)  # (4 + 2 - 2) / 4 = 1
    np.testing.assert_array_equal(
        train(linear(0.3), local, TASK, seed=0).parameters["weight"],
        train(linear(0.3), one(), TASK, seed=0).parameters["weight"],
    )


def test_without_examples_nothing_changes() -> None:
    empty = Local(Examples(np.zeros((0, 1), np.float32), np.zeros(0, np.int64)), None, None)
    found = train(linear(0.3), empty, TASK, seed=0)
    assert found.loss == 0
    assert found.parameters["weight"].tolist() == linear(0.3).weight.tolist()


def test_dropout_draws_from_the_seed_and_leaves_torchs_own_generator_alone() -> None:
    rng = np.random.default_rng(0)
    examples = Examples(rng.random((32, 4)).astype(np.float32), rng.integers(0, 2, 32))
    network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    start = parameters_of(network)
    results = []
    for seed in (1, 1, 2):
        load(network, start)
        torch.rand(3)  # whatever else the process does
        before = torch.random.get_rng_state()
        results.append(train(network, Local(examples, None, None), TASK, seed).parameters["0.weight"])
        assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_initial_parameters_follow_the_seed() -> None:
    first, again, other = (initial(MODEL, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_batches_are_of_equal_length_and_hold_each_example_once() -> None:
    x = np.arange(10, dtype=np.float32)[:, None]
    local = Local(Examples(x, np.zeros(10, np.int64)), None, None)
    batches = [batch for batch, _ in local.batches(4, torch.Generator().manual_seed(0))]
    assert sorted(len(batch) for batch in batches) == [5, 5]
    assert sorted(torch.cat(batches)[:, 0].tolist()) == list(range(10))
