import tracemalloc
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from covey.errors import InputError
from covey.examples import Examples, LocalData
from covey_simulations.data import digits
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.federation import load
from covey_simulations.data.resampled import Drawing, resampled
from covey_simulations.data.settings import DataSettings


def loaded(seed: int = 1, **values: Any) -> FederatedData:
    chosen: dict[str, Any] = {"source": "synthetic-digits", "devices": 200}
    return load(msgspec.convert(chosen | values, DataSettings), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def data() -> FederatedData:
    return loaded()


def rows(examples: Examples) -> set[bytes]:
    return {x.tobytes() + bytes([y]) for x, y in zip(examples.x, examples.y.tolist(), strict=True)}


def test_it_is_called_synthetic(data: FederatedData) -> None:
    assert data.synthetic
    assert data.name == "synthetic-digits"
    assert data.notes[0].startswith("Synthetic: 200 devices are generated. Each draws 20 to 50 training")
    assert data.notes[-1] == "Held out: the test part."


def test_sizes_are_known_before_anything_is_drawn(data: FederatedData) -> None:
    held = list(data.devices.values())
    assert data.sizes.train.tolist() == [len(local.train) for local in held]
    assert data.sizes.held_out.tolist() == [len(local.held_out) for local in held]
    assert (data.sizes.train.min(), data.sizes.train.max()) == (20, 50)
    assert (data.sizes.held_out.min(), data.sizes.held_out.max()) == (5, 13)
    assert data.training_devices == 200


def test_examples_come_from_the_pool_and_test_examples_from_its_test_part(data: FederatedData) -> None:
    pool = digits.load().devices["pool"]
    for local in list(data.devices.values())[:50]:
        assert rows(local.train) <= rows(pool.train)
        assert rows(local.held_out) <= rows(pool.held_out)
        assert local.train.x.dtype == np.float32
        assert local.train.x.shape[1:] == (1, 8, 8)


def test_a_device_is_the_same_whenever_it_is_asked(data: FederatedData) -> None:
    for name in ("device-001", "device-200"):
        first, again, elsewhere = data.devices[name], data.devices[name], loaded().devices[name]
        assert np.array_equal(first.train.x, again.train.x)
        assert np.array_equal(first.held_out.y, elsewhere.held_out.y)
    assert not np.array_equal(
        loaded(seed=2).devices["device-001"].train.y, data.devices["device-001"].train.y
    )


def favourite(data: FederatedData) -> float:
    """Mean share of a device's commonest class."""
    shares = [np.bincount(local.train.y).max() / len(local.train) for local in data.devices.values()]
    return float(np.mean(shares))


def test_alpha_decides_the_skew() -> None:
    assert favourite(loaded(alpha=0.05)) > 0.7
    assert 0.5 > favourite(loaded(alpha=1)) > 0.3
    assert favourite(loaded(alpha=1e5)) < 0.3


def test_all_classes_are_drawn_alike() -> None:
    counts = sum(np.bincount(local.train.y, minlength=10) for local in loaded(alpha=10).devices.values())
    assert isinstance(counts, np.ndarray)
    assert 0.8 < counts.min() / counts.mean() < counts.max() / counts.mean() < 1.2


def test_a_device_is_tested_on_the_classes_that_it_trains_on() -> None:
    held = list(loaded(alpha=0.01).devices.values())
    alike = [np.bincount(local.train.y).argmax() in local.held_out.y for local in held]
    assert np.mean(alike) > 0.97


def test_pooled_it_is_the_pool(data: FederatedData) -> None:
    pool = digits.load().devices["pool"]
    assert np.array_equal(data.all_train().x, pool.train.x)
    assert np.array_equal(data.all_held_out().y, pool.held_out.y)


def test_any_source_can_be_resampled() -> None:
    data = loaded(
        source="wrist", partition="resampled", devices=1000, examples_per_device=[3, 3], split="tuning"
    )
    assert (data.name, data.synthetic, data.training_examples) == ("synthetic-wrist", True, 3000)
    assert data.devices["device-0500"].train.x.shape == (3, 6, 100)


def test_tuning_leaves_the_test_part_alone() -> None:
    pool = digits.load().devices["pool"]
    for local in list(loaded(split="tuning").devices.values())[:20]:
        assert rows(local.held_out) <= rows(pool.train)


def of(train: list[int], held_out: list[int]) -> FederatedData:
    def examples(y: list[int]) -> Examples:
        return Examples(np.array(y, np.float32).reshape(-1, 1), np.array(y, np.int64))

    pool = LocalData(examples(train), examples(held_out))
    return FederatedData("t", "", "", ("a", "b", "c"), (1,), {"p": pool}, {"p": "p"}, synthetic=False)


DRAWING = Drawing(devices=300, examples=(1, 4), alpha=0.01, seed=1)


def test_classes_that_do_not_occur_are_not_drawn() -> None:
    data = resampled(of([1, 1, 1], [0, 2, 2]), DRAWING)
    for local in data.devices.values():
        assert set(local.train.y.tolist()) == {1}
        assert set(local.held_out.y.tolist()) <= {0, 2}
        assert local.train.x[:, 0].tolist() == local.train.y.tolist()


def test_without_a_test_part_nothing_is_held_out() -> None:
    data = resampled(of([0, 1], []), DRAWING)
    assert data.held_out_examples == sum(len(local.held_out) for local in data.devices.values()) == 0


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(InputError, match="no training examples"):
        resampled(of([], [1]), DRAWING)


def test_a_million_devices_cost_eight_bytes_each() -> None:
    source = digits.load()
    tracemalloc.start()
    data = resampled(source, replace(DRAWING, devices=1_000_000, examples=(20, 50)))
    assert 34e6 < data.training_examples < 36e6
    assert len(data.devices["device-0123456"].train) == data.sizes.train[123_455]
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 9_000_000
    assert peak < 40_000_000
