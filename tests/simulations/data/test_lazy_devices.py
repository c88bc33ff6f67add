import hashlib
import tracemalloc
from typing import Any

import msgspec
import numpy as np
import pytest

from covey.examples import Examples, LocalData
from covey_simulations.data.dealt import Dealt
from covey_simulations.data.devices import OnDemand, readable
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.federation import load
from covey_simulations.data.local import joined
from covey_simulations.data.names import Alone
from covey_simulations.data.partitions import Parts, iid
from covey_simulations.data.settings import DataSettings

DEALT = [
    ({"source": "digits", "partition": "iid", "devices": 3, "examples": 120}, 0, "2dfa9d38c7ef1378"),
    ({"source": "digits", "partition": "dirichlet", "devices": 10, "alpha": 0.5}, 0, "a1a9dd2eb4993456"),
    ({"source": "digits", "partition": "dirichlet", "devices": 100, "alpha": 0.05}, 5, "5a1e57a55b2d124e"),
    ({"source": "digits", "partition": "time", "devices": 7, "split": "tuning"}, 0, "04eb35e80b50c9ad"),
    ({"source": "wrist"}, 0, "7a65b50f61f64db2"),
    ({"source": "wrist", "examples": 200}, 5, "9ebb8c39b1ad37ba"),
    ({"source": "wrist", "partition": "iid", "devices": 13}, 5, "14f216c31d4e4543"),
    (
        {"source": "wrist", "partition": "dirichlet", "devices": 40, "alpha": 0.1, "split": "tuning"},
        0,
        "6ce72b9c02b55136",
    ),
]
"""Digests of what was dealt when every device was still in memory."""


def loaded(seed: int = 1, **values: Any) -> FederatedData:
    return load(msgspec.convert(values, DataSettings), np.random.default_rng(seed))


def digest(data: FederatedData) -> str:
    total = hashlib.sha256()
    for name, local in data.devices.items():
        total.update(f"{name} {data.groups[name]} ".encode())
        for part in (local.train, local.held_out):
            total.update(f"{part.x.dtype}{part.x.shape}{part.y.dtype}{part.y.shape}".encode())
            total.update(part.x.tobytes() + part.y.tobytes())
    return total.hexdigest()[:16]


@pytest.mark.parametrize(("values", "seed", "expected"), DEALT)
def test_settings_and_a_seed_deal_what_they_always_dealt(
    values: dict[str, Any], seed: int, expected: str
) -> None:
    assert digest(loaded(seed, **values)) == expected


def small() -> FederatedData:
    return loaded(source="digits", partition="dirichlet", devices=12)


def test_totals_are_those_of_the_devices() -> None:
    data = small()
    held = list(data.devices.values())
    assert data.training_examples == sum(len(local.train) for local in held) == 1352
    assert data.held_out_examples == sum(len(local.held_out) for local in held) == 445
    assert data.training_devices == len(held) == 12


def test_pooled_they_are_joined_in_order() -> None:
    data = small()
    both = joined(list(data.devices.values()))
    assert np.array_equal(data.all_train().x, both.train.x)
    assert np.array_equal(data.all_held_out().y, both.held_out.y)


def test_only_names_of_devices_are_in_it() -> None:
    devices = small().devices
    assert ("device-03" in devices, "device-3" in devices, "device-13" in devices) == (True, False, False)
    with pytest.raises(KeyError):
        devices["device-13"]


def test_nothing_is_made_before_it_is_read() -> None:
    devices = small().devices
    kept = readable(devices, "device-03")
    assert isinstance(kept, OnDemand)
    assert np.array_equal(kept.train.x, devices["device-03"].train.x)
    assert np.array_equal(kept.held_out.y, devices["device-03"].held_out.y)
    assert kept.train.x is not kept.train.x
    here = dict(devices)
    assert readable(here, "device-03") is here["device-03"]


def test_a_million_devices_cost_their_indices() -> None:
    """16 bytes a device for the two tables of ends, 8 for each example's index, and room to make them in."""
    devices = 1_000_000
    empty = Examples(np.zeros((devices, 1), np.float32), np.zeros(devices, np.int64))
    nothing = Parts(np.zeros(0, np.int64), np.zeros(devices + 1, np.int64))
    tracemalloc.start()
    fleet = Dealt(LocalData(empty, empty.first(0)), iid(devices, devices, np.random.default_rng(0)), nothing)
    data = FederatedData("t", "", "", ("a",), (1,), fleet, Alone(fleet.names), synthetic=True)
    assert data.training_examples == data.training_devices == devices
    assert len(data.devices["device-0999999"].train) == 1
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 24 * devices
    assert peak < 64 * devices


def test_groups_of_other_devices_are_refused() -> None:
    data = small()
    with pytest.raises(ValueError, match="different devices"):
        FederatedData("t", "", "", ("a",), (1,), data.devices, {"device-01": "x"}, synthetic=False)
    with pytest.raises(ValueError, match="different devices"):
        FederatedData("t", "", "", ("a",), (1,), data.devices, Alone(iid_names()), synthetic=False)


def iid_names() -> Any:
    return loaded(source="digits", partition="iid", devices=13).groups.names  # type: ignore[attr-defined]
