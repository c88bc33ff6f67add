"""Gradients per example against autograd on one example at a time, and the coins that choose examples."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from covey.arrays import layout_of
from covey.errors import InputError
from covey.examples import Examples, Standardise
from covey.stream import Stream
from covey_models.model import Model
from covey_models.per_example import Gradients, gradients, poisson, refuse_mixing
from covey_models.registry import find, names
from covey_models.training import Local, initial, load, parameters_of

EXAMPLES = 5


def examples(shape: tuple[int, ...], classes: int, count: int = EXAMPLES) -> Examples:
    rng = np.random.default_rng(0)
    return Examples(rng.normal(size=(count, *shape)).astype(np.float32), rng.integers(0, classes, count))


def of(model: Model) -> tuple[nn.Module, Local]:
    network = model.build()
    load(network, initial(model, seed=0))
    return network, Local(examples(model.input_shape, model.classes), None, None)


def joined(network: nn.Module, local: Local, index: list[int], copies: int = 1, seed: int = 0) -> Gradients:
    found = list(gradients(network, local, np.array(index, np.int64), copies, seed))
    return Gradients(
        np.concatenate([each.vectors for each in found]), np.concatenate([each.losses for each in found])
    )


def one_by_one(network: nn.Module, x: Tensor, y: Tensor) -> Gradients:
    layout, vectors, losses = layout_of(parameters_of(network)), [], []
    weights = dict(sorted(network.named_parameters()))
    for i in range(len(y)):
        loss = cross_entropy(network(x[i : i + 1]), y[i : i + 1])
        found = torch.autograd.grad(loss, list(weights.values()))
        vectors.append(layout.flatten({name: g.numpy() for name, g in zip(weights, found, strict=True)}))
        losses.append(float(loss.detach()))
    return Gradients(np.array(vectors), np.array(losses))


def assert_equal(found: Gradients, expected: Gradients) -> None:
    assert found.vectors.dtype == found.losses.dtype == np.float64
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
    np.testing.assert_allclose(found.losses, expected.losses, atol=1e-5)


@pytest.mark.parametrize("name", names())
def test_every_model_agrees_with_autograd_on_one_example_at_a_time(name: str) -> None:
    network, local = of(find(name))
    expected = one_by_one(network, torch.from_numpy(local.examples.x), torch.from_numpy(local.examples.y))
    assert np.linalg.norm(expected.vectors, axis=1).min() > 0.1
    assert_equal(joined(network, local, list(range(EXAMPLES))), expected)


@pytest.mark.parametrize("name", names())
def test_every_model_agrees_with_vmap(name: str) -> None:
    network, local = of(find(name))
    weights = {key: value.detach() for key, value in sorted(network.named_parameters())}

    def loss(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(functional_call(network, values, (x[None],)), y[None])

    x, y = torch.from_numpy(local.examples.x), torch.from_numpy(local.examples.y)
    by_name = vmap(grad(loss), in_dims=(None, 0, 0))(weights, x, y)
    expected = torch.cat([by_name[key].flatten(1) for key in weights], 1).numpy()
    found = joined(network, local, list(range(EXAMPLES))).vectors
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_many_examples_come_in_chunks_and_in_the_order_asked_for() -> None:
    network = nn.Linear(3, 2)
    local = Local(examples((3,), 2, count=300), None, None)
    index = np.random.default_rng(1).permutation(300)
    chunks = list(gradients(network, local, index, 1, seed=0))
    assert [len(each.losses) for each in chunks] == [64, 64, 64, 64, 44]
    x, y = local.examples.x[index], local.examples.y[index]
    assert_equal(
        joined(network, local, index.tolist()), one_by_one(network, torch.from_numpy(x), torch.from_numpy(y))
    )


def test_a_network_too_large_for_two_examples_at_once_takes_them_singly() -> None:
    network = nn.Linear(1, 1 << 20)
    local = Local(examples((1,), 2), None, None)
    found = [each.vectors.shape for each in gradients(network, local, np.arange(2), 1, seed=0)]
    assert found == [(1, 1 << 21), (1, 1 << 21)]


def test_no_examples_give_nothing() -> None:
    network, local = of(find("digits"))
    assert list(gradients(network, local, np.empty(0, np.int64), 1, seed=0)) == []


def test_copies_are_augmented_then_scaled_and_averaged_within_their_example() -> None:
    seen: list[Tensor] = []

    def augment(x: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(x + torch.randn(x.shape, generator=generator))
        return seen[-1]

    scale = Standardise((1.0,), (2.0,))
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    local = Local(examples((1, 4), 3), scale, augment)
    found = joined(network, local, [3, 1], copies=7)
    (views,) = seen
    y = torch.from_numpy(local.examples.y[[3] * 7 + [1] * 7])
    each = one_by_one(network, torch.from_numpy(scale.apply(views.numpy())), y)
    assert_equal(found, Gradients(each.vectors.reshape(2, 7, -1).mean(1), each.losses.reshape(2, 7).mean(1)))
    assert len({view.numpy().tobytes() for view in views}) == 14
    distance = np.abs(views.reshape(2, 7, 1, 4).mean(1).numpy() - local.examples.x[[3, 1]]).max()
    assert distance < 3


def test_augmentation_and_dropout_follow_the_seed_and_leave_torchs_own_generator_alone() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(600, 4), nn.Dropout(0.5), nn.Linear(4, 7)).eval()
    local = Local(examples((6, 100), 7), None, find("wrist-motion").augment)
    state = torch.random.get_rng_state()
    first, again, other = (
        joined(network, local, [0, 1], copies=2, seed=seed).vectors.tobytes() for seed in (1, 1, 2)
    )
    assert first == again != other
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not network.training


def test_the_network_is_left_without_hooks_or_gradients() -> None:
    network, local = of(find("digits"))
    before = parameters_of(network)
    joined(network, local, [0])
    assert all(np.array_equal(before[name], value) for name, value in parameters_of(network).items())
    assert all(weight.grad is None and not hasattr(weight, "grad_sample") for weight in network.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())


class Unused(nn.Module):
    """A weight used twice, one used directly, one not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.never, self.bare = nn.Linear(3, 3), nn.Linear(2, 2), nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 3)."""
        result: Tensor = self.twice(torch.tanh(self.twice(x))) * self.bare
        return result


def test_weights_may_be_shared_bare_or_unused() -> None:
    network = Unused()
    local = Local(examples((3,), 3), None, None)
    found = joined(network, local, [0, 1, 2]).vectors
    layout = layout_of(parameters_of(network))
    for row, i in zip(found, range(3), strict=True):
        loss = cross_entropy(
            network(torch.from_numpy(local.examples.x[[i]])), torch.from_numpy(local.examples.y[[i]])
        )
        weights = dict(sorted(network.named_parameters()))
        expected = torch.autograd.grad(
            loss, list(weights.values()), materialize_grads=True, allow_unused=True
        )
        by_name = {name: g.numpy() for name, g in zip(weights, expected, strict=True)}
        np.testing.assert_allclose(row, layout.flatten(by_name), atol=1e-5)


def test_no_gradient_is_sent_back_through_layers_that_do_not_learn() -> None:
    asked = []

    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            asked.append(x.requires_grad)
            return torch.sin(x)

    network = nn.Sequential(Fixed(), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    joined(network, Local(examples((3,), 2), None, None), [0, 1, 2])
    assert asked == [True, False]  # when the network is checked, then when it learns


def test_a_non_finite_example_spoils_its_own_gradient_only() -> None:
    network, local = of(find("digits"))
    local.examples.x[2] = np.inf
    finite = np.isfinite(joined(network, local, [0, 1, 2, 3]).vectors).all(1)
    assert finite.tolist() == [True, True, False, True]


@pytest.mark.parametrize("track", [True, False])
def test_batch_normalisation_is_refused(track: bool) -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=track))
    with pytest.raises(InputError, match=r"no gradient per example: .*(buffers|other inputs)"):
        gradients(network, Local(examples((3,), 3), None, None), np.arange(2), 1, seed=0)


def test_a_network_that_looks_at_its_batch_is_refused_whatever_its_mode() -> None:
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.inner(x - x.mean(0) if self.training else x)
            return result

    with pytest.raises(InputError, match="depends on the other inputs"):
        refuse_mixing(Centred().eval(), (3,))


@pytest.mark.parametrize("normalised", [nn.LayerNorm(4), nn.GroupNorm(2, 4)])
def test_normalisation_within_an_example_is_taken(normalised: nn.Module) -> None:
    network = nn.Sequential(nn.Linear(3, 4), normalised, nn.Linear(4, 2))
    local = Local(examples((3,), 2), None, None)
    expected = one_by_one(network, torch.from_numpy(local.examples.x), torch.from_numpy(local.examples.y))
    assert_equal(joined(network, local, list(range(EXAMPLES))), expected)


def coins(key: int = 0) -> Stream:
    return Stream(key.to_bytes(32, "little"))


def test_coins_choose_each_example_by_one_64_bit_word() -> None:
    words = coins().words64(1000)
    expected = [i for i, word in enumerate(words.tolist()) if word < int(0.3 * 2**64)]
    found = poisson(1000, 0.3, coins())
    assert found.dtype == np.int64
    assert found.tolist() == expected
    assert 240 < len(found) < 360


def test_coins_are_read_alike_whatever_the_outcome() -> None:
    for rate in (1e-30, 0.5, 1.0):
        stream, other = coins(), coins()
        poisson(10, rate, stream)
        other.take(80)
        assert stream.take(8) == other.take(8)


def test_coins_fall_independently_and_at_their_rate() -> None:
    drawn = np.zeros((2000, 20))
    for row, key in zip(drawn, range(2000), strict=True):
        row[poisson(20, 0.25, coins(key))] = 1
    assert np.abs(drawn.mean(0) - 0.25).max() < 4.5 * np.sqrt(0.25 * 0.75 / 2000)
    correlation = np.corrcoef(drawn.T) - np.eye(20)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(2000)


def test_extreme_rates() -> None:
    assert poisson(7, 1.0, coins()).tolist() == list(range(7))
    assert poisson(1000, 2.0**-64, coins()).tolist() == []
    assert len(poisson(1000, np.nextafter(1.0, 0.0), coins())) == 1000
    assert poisson(0, 0.5, coins()).tolist() == []


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.5, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="a sampling rate"):
        poisson(3, rate, coins())
