"""A cohort trained as one program comes to what each of its devices comes to by itself."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from covey.arrays import layout_of
from covey.examples import Examples, Standardise
from covey.plan import Train
from covey_models.cohort.dense import dense
from covey_models.cohort.programs import Chosen, choose
from covey_models.cohort.steps import Cohort
from covey_models.cohort.training import Learner, train_cohort
from covey_models.cohort.vmapped import Vmapped, refusal
from covey_models.model import Model
from covey_models.registry import find, names
from covey_models.training import Local, initial, load, number_of_batches, train

PLAIN: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 6,
    "learning_rate": 0.005,
    "momentum": 0.0,
    "gradient_clip": 0.0,
    "proximal_mu": 0.0,
    "weighting": "examples",
    "examples_cap": 50,
    "update_clip": 10.0,
}
OPTIMISERS = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "clip": {"gradient_clip": 0.5},
    "proximal": {"proximal_mu": 0.5, "epochs": 2},
    "all": {"momentum": 0.5, "gradient_clip": 0.5, "proximal_mu": 0.5, "epochs": 2},
}
SIZES = (13, 0, 1, 16, 7, 12)
ROOM = 1 << 30


def task(**changes: Any) -> Train:
    return Train(**PLAIN | changes)


def mlp(*layers: nn.Module) -> Model:
    """A model of digits' shape around some layers."""
    return Model(
        name="chain",
        summary="made for a test",
        input_shape=(1, 4, 4),
        input_units="none",
        input_bound=8.0,
        labels=tuple("abc"),
        build=lambda: deepcopy(nn.Sequential(*layers)),
        licence="CC0-1.0",
        source="a test",
    )


def locals_of(model: Model, sizes: tuple[int, ...] = SIZES) -> list[Local]:
    rng = np.random.default_rng(5)
    scale = Standardise((0.1,) * model.input_shape[0], (1.5,) * model.input_shape[0])
    made = []
    for size in sizes:
        x = rng.normal(0, 1, (size, *model.input_shape)).astype(np.float32)
        made.append(Local(Examples(x, rng.integers(0, model.classes, size)), scale, model.augment))
    return made


def alone(model: Model, locals_: list[Local], asked: Train) -> tuple[np.ndarray, np.ndarray]:
    """What each device comes to by itself: changes and losses."""
    parameters = initial(model, 0)
    layout, changes, losses = layout_of(parameters), [], []
    for seed, local in enumerate(locals_):
        network = model.build()
        load(network, parameters)
        trained = train(network, local, asked, seed)
        changes.append(layout.flatten(trained.parameters) - layout.flatten(parameters))
        losses.append(trained.loss)
    return np.array(changes), np.array(losses)


def together(
    chosen: Chosen, model: Model, locals_: list[Local], asked: Train, memory: int = ROOM
) -> tuple[np.ndarray, np.ndarray]:
    parameters = initial(model, 0)
    changes = np.full((len(locals_), layout_of(parameters).size), np.nan)
    losses = np.full(len(locals_), np.nan)
    learners = [Learner(local, seed) for seed, local in enumerate(locals_)]
    for chunk in train_cohort(chosen, parameters, learners, asked, memory):
        changes[chunk.places], losses[chunk.places] = chunk.change, chunk.losses
        assert chunk.counts.tolist() == [len(locals_[place].examples) for place in chunk.places]
    return changes, losses


def assert_equal(found: tuple[np.ndarray, np.ndarray], wanted: tuple[np.ndarray, np.ndarray]) -> None:
    for place, (one, other) in enumerate(zip(found[0], wanted[0], strict=True)):
        assert np.linalg.norm(one - other) <= 1e-4 * np.linalg.norm(other), place
    assert found[1] == pytest.approx(wanted[1], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("optimiser", ["sgd", "all"])
@pytest.mark.parametrize("name", names())
def test_every_model_with_every_local_optimiser(name: str, optimiser: str) -> None:
    model, asked = find(name), task(**OPTIMISERS[optimiser])
    locals_ = locals_of(model)
    assert_equal(together(choose(model, 6), model, locals_, asked), alone(model, locals_, asked))


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize(
    "layers",
    [
        (nn.Flatten(), nn.Linear(16, 3)),
        (nn.Flatten(), nn.Linear(16, 8, bias=False), nn.ReLU(), nn.Identity(), nn.Linear(8, 3)),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 8)), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)),
    ],
)
def test_chains_of_linear_layers_by_hand(layers: tuple[nn.Module, ...], optimiser: str) -> None:
    model, asked = mlp(*layers), task(**OPTIMISERS[optimiser])
    chosen, locals_ = choose(model, 6), locals_of(model)
    assert chosen.how == "matrix products by hand"
    wanted = alone(model, locals_, asked)
    assert_equal(together(chosen, model, locals_, asked), wanted)
    assert_equal(together(chosen, model, locals_, asked, memory=1), wanted)  # one device at a time


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Linear(4, 3), nn.Flatten(), nn.Linear(12, 3)),  # before it is flat
        (nn.Flatten(), nn.Linear(16, 3), nn.ReLU()),
        (nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3)),
        (nn.Flatten(2), nn.Flatten(), nn.Linear(16, 3)),
    ],
)
def test_other_networks_are_not_taken_for_such_chains(layers: tuple[nn.Module, ...]) -> None:
    assert dense(nn.Sequential(*layers), (1, 4, 4)) is None


def test_a_device_with_bad_data_spoils_nobody_elses_training() -> None:
    model = mlp(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    locals_ = locals_of(model)
    wanted = alone(model, locals_, task())
    locals_[3].examples.x[:] = np.nan
    changes, losses = together(choose(model, 6), model, locals_, task())
    assert np.isnan(changes[3]).all()
    assert np.isnan(losses[3])
    good = [place for place in range(len(SIZES)) if place != 3]
    assert_equal((changes[good], losses[good]), (wanted[0][good], wanted[1][good]))


class Mixing(nn.Module):
    """Draws random numbers, or looks at a value in Python."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.first = nn.Linear(16, 3)
        self.odd = layer

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.odd(self.first(x.flatten(1)))
        return out


class Peeking(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if bool(x.detach().sum() > 0) else -x


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (nn.Dropout(0.5), r"odd \(Dropout\): it draws random numbers"),
        (Peeking(), r"odd \(Peeking\): it looks at a value in Python"),
    ],
)
def test_a_network_that_cannot_be_batched_is_trained_in_turn_and_says_which_layer(
    layer: nn.Module, why: str
) -> None:
    model = mlp(Mixing(layer))
    chosen, locals_ = choose(model, 6), locals_of(model)
    assert not chosen.is_batched
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(chosen.why)
    assert_equal(together(chosen, model, locals_, task()), alone(model, locals_, task()))


def test_vmap_takes_what_no_chain_is() -> None:
    model = mlp(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))
    chosen = choose(model, 6)
    assert isinstance(chosen.program, Vmapped)
    assert refusal(model.build(), model.input_shape) == ""


def test_large_convolutions_are_trained_in_turn() -> None:
    chosen = choose(find("image-cnn"), 6)
    assert chosen.how == "one device after the other"
    assert "million multiplications" in chosen.why


def test_choosing_draws_nothing_from_the_common_generator() -> None:
    torch.manual_seed(1)
    wanted = torch.rand(1)
    torch.manual_seed(1)
    choose(find("digits"), 6)
    assert torch.rand(1) == wanted


@pytest.mark.parametrize("size", [1, 4, 10, 100])
def test_an_epoch_takes_every_example_once_in_batches_of_equal_weight(size: int) -> None:
    model = mlp(nn.Flatten(), nn.Linear(16, 3))
    locals_ = [
        Local(Examples(np.full((count, 1, 4, 4), place, np.float32), np.arange(count) % 3), None, None)
        for place, count in enumerate(SIZES)
    ]
    cohort = Cohort(locals_, range(len(SIZES)), size)
    seen = np.zeros(len(SIZES), np.int64)
    for batch in cohort.epoch():
        active = len(batch.y)
        assert batch.share.sum(1).tolist() == pytest.approx([1.0] * active)
        assert ((batch.share > 0).sum(1) == batch.sizes).all()
        assert (batch.x.flatten(2)[..., 0].numpy() == cohort.order[:active, None]).all()
        seen[cohort.order[:active]] += batch.sizes.long().numpy()
    assert seen.tolist() == list(SIZES)
    assert model.classes == 3


@pytest.mark.parametrize("size", [1, 3, 16])
def test_the_number_of_batches_is_that_of_training_alone(size: int) -> None:
    for count in range(40):
        local = Local(Examples(np.zeros((count, 1), np.float32), np.zeros(count, np.int64)), None, None)
        assert number_of_batches(count, size) == len(list(local.batches(size, torch.Generator())))
