"""Simulated devices: the real ones, with keys made for the run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from covey.arrays import Parameters
from covey.examples import LocalData
from covey.identity import public_of
from covey_client.in_process import InProcess
from covey_io.settings import convert
from covey_models.zoo.digits import MODEL
from covey_simulations.data import digits
from covey_simulations.data.federated import FederatedData
from covey_simulations.fleet import Fleet, Past, Setting, fleet
from covey_simulations.settings import SimulationFile
from covey_strategies.protection import Operator, Protection
from digits_fleet import NOISY, TRAIN, asking, dealt, parameters


def held_by(devices: dict[str, LocalData]) -> FederatedData:
    return replace(digits.load(), devices=devices, groups={name: name for name in devices})


@pytest.fixture(scope="module")
def data() -> FederatedData:
    return held_by({f"attic {number:02d} é": local for number, local in enumerate(dealt([5] * 10))})


def made(data: FederatedData, folder: Path, seed: int = 1) -> Fleet:
    plain = {
        "name": "small",
        "seed": seed,
        "model": {"name": "digits"},
        "data": {"source": "digits"},
        "federation": {"rounds": 1, "minimum_devices": 7},
        "privacy": {
            "train_multiplier": 1.0,
            "statistics_multiplier": 1.0,
            "validate_multiplier": 1.0,
            "calibrate_multiplier": 1.0,
        },
    }
    file = convert(plain, SimulationFile, "small.toml")
    protected = Protection(masks="on", **NOISY)
    return fleet(Setting(data, MODEL, file, protected, folder, Past()))


def operator_of(found: Fleet) -> Operator:
    assert found.operator
    return found.operator


def masked_total(found: Fleet, model: Parameters) -> NDArray[np.float64]:
    """The update of one masked, noisy sum."""
    grid, bare = found.grid(), replace(operator_of(found), policy=None, policy_sent=b"")
    asked = asking(minimum=7, protection=Protection(masks="on", operator=bare, **NOISY))
    question = asked.question(grid, 1, TRAIN, model, sorted(grid.get_node_ids()))
    replies = grid.send_and_receive(question.messages())
    return asked.collect(question, replies).sums["update"]


def test_every_device_has_an_identity_in_the_roster(data: FederatedData, tmp_path: Path) -> None:
    found = made(data, tmp_path)
    certified = {each.device: each.key for each in operator_of(found).roster.certificates}
    devices = found.participants.values()
    assert len(certified) == len(found.participants) == 10
    for each in devices:
        assert each.keys
        assert certified[each.keys.me.device] == public_of(each.keys.me.private)
        assert each.keys.operator == public_of(operator_of(found).private)
    trainers = [each.trainer for each in devices]
    names = [each.device.name for each in trainers if isinstance(each, InProcess)]
    assert names == list(data.devices)  # whatever the data calls them
    assert operator_of(found).roster.simulation


def test_keys_are_new_for_each_run_and_the_sum_is_the_same(data: FederatedData, tmp_path: Path) -> None:
    first, second, again = (made(data, tmp_path / name) for name in ("first", "second", "first"))
    assert operator_of(first).private != operator_of(second).private
    assert (
        operator_of(first).private == operator_of(again).private
    )  # a run that is gone on with is the same fleet
    other = made(data, tmp_path / "other", seed=2)
    one, same, another = (masked_total(each, parameters()) for each in (first, second, other))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, another)


def test_a_device_without_examples_takes_part_all_the_same(data: FederatedData, tmp_path: Path) -> None:
    name, local = next(iter(data.devices.items()))
    bare = LocalData(local.train.first(0), local.held_out)
    emptied = held_by({**data.devices, name: bare})
    assert np.isfinite(masked_total(made(emptied, tmp_path), parameters())).all()
