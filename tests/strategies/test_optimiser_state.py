from collections.abc import Callable

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAvg, FedAvgM

from covey.arrays import digest
from covey_strategies.optimiser_state import restore, save
from digits_fleet import FEW, INNER, flock, parameters, private, rounds

REMEMBER_NOTHING = {"FedAvg", "FedProx"}


def without_momentum() -> FedAvg:
    return FedAvgM(server_learning_rate=0.5, server_momentum=0.0, **FEW)


MAKE = {**INNER, "FedAvgM without momentum": without_momentum}


@pytest.mark.parametrize("make", MAKE.values(), ids=list(MAKE))
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_restored_strategy_goes_on_bit_for_bit(make: Callable[[], FedAvg], stop: int) -> None:
    fleet = flock()
    whole = rounds(private(make()), fleet.grid, parameters(), range(1, 5))
    first = make()
    half = rounds(private(first), fleet.grid, parameters(), range(1, stop + 1))
    second = make()
    # copies: what was saved must not depend on the first strategy living on
    restore(second, {name: value.copy() for name, value in save(first).items()})
    assert digest(rounds(private(second), fleet.grid, half, range(stop + 1, 5))) == digest(whole)


@pytest.mark.parametrize("name", sorted(INNER.keys() - REMEMBER_NOTHING))
def test_what_is_saved_matters(name: str) -> None:
    fleet = flock()
    whole = rounds(private(INNER[name]()), fleet.grid, parameters(), range(1, 4))
    half = rounds(private(INNER[name]()), fleet.grid, parameters(), range(1, 3))
    forgetful = rounds(private(INNER[name]()), fleet.grid, half, range(3, 4))
    assert digest(forgetful) != digest(whole)


@pytest.mark.parametrize("name", sorted(REMEMBER_NOTHING))
def test_a_mean_remembers_nothing(name: str) -> None:
    inner = INNER[name]()
    rounds(private(inner), flock().grid, parameters(), range(1, 2))
    assert save(inner) == {}


@pytest.mark.parametrize("make", MAKE.values(), ids=list(MAKE))
def test_a_fresh_strategy_restores_nothing(make: Callable[[], FedAvg]) -> None:
    inner = make()
    before = dict(vars(inner))
    assert save(inner) == {}
    restore(inner, {})
    assert vars(inner) == before


@pytest.mark.parametrize("name", INNER)
def test_saving_twice_is_saving_once(name: str) -> None:
    inner, again = INNER[name](), INNER[name]()
    rounds(private(inner), flock().grid, parameters(), range(1, 3))
    saved = save(inner)
    restore(again, saved)
    twice = save(again)
    assert list(twice) == list(saved)
    for key, value in saved.items():
        assert twice[key].dtype == value.dtype
        np.testing.assert_array_equal(twice[key], value)


def test_a_later_round_does_not_change_what_was_saved() -> None:
    fleet, inner = flock(), INNER["FedAvgM"]()
    half = rounds(private(inner), fleet.grid, parameters(), range(1, 2))
    saved = save(inner)
    kept = {name: value.copy() for name, value in saved.items()}
    rounds(private(inner), fleet.grid, half, range(2, 3))
    for name, value in kept.items():
        np.testing.assert_array_equal(saved[name], value)


def test_names_say_what_is_kept() -> None:
    fleet = flock()
    adam, momentum = INNER["FedAdam"](), INNER["FedAvgM"]()
    for inner in (adam, momentum):
        rounds(private(inner), fleet.grid, parameters(), range(1, 2))
    weights = parameters()
    assert list(save(adam)) == [f"{moment}/{name}" for moment in ("m_t", "v_t") for name in weights]
    assert list(save(momentum)) == [
        *(f"momentum_vector/{index:06d}" for index in range(len(weights))),
        *(f"current_arrays/{name}" for name in weights),
    ]
