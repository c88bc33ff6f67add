from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import InputError
from covey.examples import Examples
from covey_simulations.data import fashion, keywords
from covey_simulations.data.dealing import shares
from covey_simulations.data.federation import FederatedData, load
from covey_simulations.data.local import joined
from covey_simulations.data.settings import DataSettings


def loaded(seed: int = 1, **values: Any) -> FederatedData:
    return load(msgspec.convert(values, DataSettings), np.random.default_rng(seed))


def contents(examples: Examples) -> list[bytes]:
    """The examples as a multiset: each as bytes with its label, sorted."""
    return sorted(x.tobytes() + bytes([y]) for x, y in zip(examples.x, examples.y.tolist(), strict=True))


def train_labels(data: FederatedData) -> dict[str, list[int]]:
    return {name: local.train.y.tolist() for name, local in data.devices.items()}


def test_wrist_keeps_its_twenty_devices() -> None:
    data = loaded(source="wrist")
    assert len(data.devices) == 20
    assert data.groups["s10-right"] == "s10"
    assert not data.synthetic
    assert data.notes == (
        "Real devices: ten subjects, a watch on each arm.",
        "Held out: the last quarter of each recording.",
    )


@pytest.mark.parametrize("partition", ["iid", "dirichlet", "dirichlet-classes", "time"])
@pytest.mark.parametrize("split", ["last-quarter", "tuning"])
def test_dealing_wrist_anew_keeps_every_example(partition: str, split: str) -> None:
    real = joined(list(loaded(source="wrist", split=split).devices.values()))
    data = loaded(source="wrist", split=split, partition=partition, devices=13)
    dealt = joined(list(data.devices.values()))
    assert list(data.devices) == [f"device-{number:02d}" for number in range(1, 14)]
    assert data.groups == {name: name for name in data.devices}
    assert contents(dealt.train) == contents(real.train)
    assert contents(dealt.held_out) == contents(real.held_out)
    assert f"dealt to 13 by {partition}" in data.notes[0]


def test_leave_subjects_out_keeps_subjects_apart() -> None:
    data = loaded(source="wrist", split="leave-subjects-out", held_out_subjects=[2, 9])
    tested = {data.groups[name] for name, local in data.devices.items() if len(local.held_out)}
    trained = {data.groups[name] for name, local in data.devices.items() if len(local.train)}
    assert tested == {"s02", "s09"}
    assert trained == set(data.groups.values()) - tested
    assert data.notes[-1] == "Never trained on: subjects s02, s09."


def test_leave_voices_out_keeps_voices_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros((60, 4, 12, 49, 10), np.float32)
    monkeypatch.setattr(keywords, "make", lambda _: keywords.Made(x, "1.51"))
    data = loaded(
        source="synthetic-keywords",
        path=str(tmp_path),
        split="leave-subjects-out",
        held_out_subjects=[1, 60],
    )
    assert [name for name, local in data.devices.items() if len(local.held_out)] == [
        "v01-Alex",
        "v60-whisper",
    ]
    assert (data.training_devices, data.training_examples, data.held_out_examples) == (58, 58 * 48, 2 * 48)
    assert data.notes[1:] == (
        "2 of 60 devices have nothing to train on: v01-Alex, v60-whisper.",
        "Never trained on: subjects v01, v60.",
    )


@pytest.mark.parametrize("source", ["breast-cancer", "shuttle"])
def test_sources_without_devices_are_dealt(source: str) -> None:
    whole = loaded(source=source, partition="time", devices=7)
    assert len(whole.devices) == 7
    tuned = loaded(source=source, partition="iid", devices=7, split="tuning")
    assert tuned.training_examples + tuned.held_out_examples == whole.training_examples


def test_dirichlet_gives_a_device_the_same_skew_in_training_and_test() -> None:
    data = loaded(source="digits", partition="dirichlet", alpha=0.05, devices=4)
    for local in list(data.devices.values())[:2]:  # the last ones take what is left
        favourite = np.bincount(local.train.y, minlength=10).argmax()
        assert favourite in np.argsort(np.bincount(local.held_out.y, minlength=10))[-2:]


@pytest.mark.parametrize("partition", ["iid", "dirichlet"])
def test_the_generator_alone_decides(partition: str) -> None:
    values = {"source": "digits", "partition": partition, "devices": 7, "examples": 700}
    assert train_labels(loaded(1, **values)) == train_labels(loaded(1, **values))
    assert train_labels(loaded(1, **values)) != train_labels(loaded(2, **values))


def test_tuning_on_digits_holds_out_training_examples() -> None:
    whole = loaded(source="digits", partition="time", devices=2)
    tuned = loaded(source="digits", partition="time", devices=2, split="tuning")
    assert tuned.training_examples + tuned.held_out_examples == whole.training_examples
    seen = joined(list(tuned.devices.values()))
    assert contents(Examples.join([seen.train, seen.held_out])) == contents(
        joined(list(whole.devices.values())).train
    )


def test_a_cap_keeps_every_real_device_and_the_whole_test_part() -> None:
    data = loaded(source="wrist", examples=200)
    assert data.training_examples == 200
    assert data.held_out_examples == 1012
    assert min(len(local.train) for local in data.devices.values()) >= 5
    assert data.notes[-1] == "At most 200 training examples."


def test_a_cap_above_the_data_changes_nothing() -> None:
    assert train_labels(loaded(source="wrist", examples=5000)) == train_labels(loaded(source="wrist"))


def test_a_cap_that_empties_devices_is_refused() -> None:
    with pytest.raises(InputError, match=r"data\.examples: 3 leaves some of 20 devices"):
        loaded(source="wrist", examples=3)


def test_a_cap_leaves_idle_devices_idle() -> None:
    data = loaded(source="wrist", examples=100, split="leave-subjects-out", held_out_subjects=[1])
    assert data.training_examples == 100
    assert len(data.devices["s01-left"].train) == 0


def test_a_cap_below_the_real_devices_fits_fewer_made_ones() -> None:
    data = loaded(source="wrist", partition="iid", devices=2, examples=6)
    assert [len(local.train) for local in data.devices.values()] == [3, 3]


def test_more_devices_than_examples_are_refused() -> None:
    with pytest.raises(InputError, match="10 examples cannot be dealt to 20 devices") as refused:
        loaded(source="digits", partition="iid", examples=10)
    assert 'data.partition = "resampled"' in refused.value.hint


def test_a_number_of_devices_that_natural_would_ignore_is_refused() -> None:
    with pytest.raises(InputError, match=r"data\.devices: 8, but wrist has 20 devices of its own"):
        loaded(source="wrist", devices=8)


def test_settings_that_do_not_fit_are_refused_before_anything_is_read() -> None:
    with pytest.raises(InputError, match="iid, dirichlet, time"):
        loaded(source="fashion-mnist", path="/nowhere")


def test_a_folder_is_natural_or_dealt(tmp_path: Path) -> None:
    for name in ("attic", "hall", "kitchen"):
        np.savez(tmp_path / name, x=np.random.default_rng(0).normal(size=(20, 2)), y=np.arange(20) % 2)
    found = loaded(source="folder", path=str(tmp_path))
    assert [len(local.train) for local in found.devices.values()] == [15] * 3
    tuned = loaded(source="folder", path=str(tmp_path), split="tuning")
    assert [(len(local.train), len(local.held_out)) for local in tuned.devices.values()] == [(12, 3)] * 3
    dealt = loaded(source="folder", path=str(tmp_path), partition="iid", devices=5)
    assert [len(local.train) for local in dealt.devices.values()] == [9] * 5


def test_tuning_needs_two_training_examples_on_each_device(tmp_path: Path) -> None:
    for name in ("attic", "hall"):
        np.savez(tmp_path / name, x=np.ones((2, 2)), y=np.arange(2))
    with pytest.raises(InputError, match="leaves attic nothing to train on"):
        loaded(source="folder", path=str(tmp_path), split="tuning")


@pytest.mark.skipif(not fashion.FOLDER.is_dir(), reason="needs the Debian package dataset-fashion-mnist")
def test_fashion_dealt_to_a_fleet() -> None:
    data = loaded(source="fashion-mnist", partition="dirichlet", devices=100, examples=2000)
    assert {len(local.train) for local in data.devices.values()} == {20}
    assert {len(local.held_out) for local in data.devices.values()} == {100}
    assert list(data.devices)[0] == "device-001"  # noqa: RUF015 - which one comes first is the point


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any), st.data())
def test_shares_add_up_and_are_fair(sizes: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(sizes)))
    parts = shares(sizes, total)
    assert sum(parts) == total
    for size, part in zip(sizes, parts, strict=True):
        assert abs(part - size * total / sum(sizes)) < 1
        assert part <= size
