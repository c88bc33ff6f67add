import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from covey.errors import DataError
from covey.examples import LocalData
from covey_simulations.data import carried_file, wrist
from covey_simulations.data.recordings import (
    Recording,
    Span,
    Split,
    last_quarter,
    leave_groups_out,
    local_data,
    tuning,
    windows,
)


@pytest.fixture(scope="module")
def recorded() -> tuple[Recording, ...]:
    return wrist.recordings()


def test_there_is_one_recording_for_each_subject_arm_and_exercise(recorded: tuple[Recording, ...]) -> None:
    assert len(recorded) == 140
    assert len({(recording.device, recording.label) for recording in recorded}) == 140
    assert Counter(recording.label for recording in recorded) == dict.fromkeys(range(7), 20)
    assert len(wrist.LABELS) == len(wrist.CODES) == 7


def test_signals_are_in_g_and_radians(recorded: tuple[Recording, ...]) -> None:
    for recording in recorded:
        assert recording.signal.dtype == np.float32
        assert recording.signal.shape == (6, recording.samples)
        assert np.isfinite(recording.signal).all()
    # Gravity alone is 1 g, and most of these exercises add little to it.
    strengths = [np.median(np.linalg.norm(recording.signal[:3], axis=0)) for recording in recorded]
    assert 0.9 < np.median(strengths) < 1.2


def test_twenty_devices_two_arms_each(recorded: tuple[Recording, ...]) -> None:
    owners = {recording.device: recording.group for recording in recorded}
    assert len(owners) == 20
    assert owners["s01-left"] == owners["s01-right"] == "s01"
    assert Counter(owners.values()) == {f"s{number:02d}": 2 for number in range(1, 11)}


def test_the_arms_are_told_apart_by_gravity(recorded: tuple[Recording, ...]) -> None:
    """The watch's x axis points up one arm and down the other, so sides given to wrong rows would show."""
    for device in {recording.device for recording in recorded}:
        mean = np.mean([recording.signal[0].mean() for recording in recorded if recording.device == device])
        assert (mean > 0) == device.endswith("left")


def test_all_windows_at_one_second(recorded: tuple[Recording, ...]) -> None:
    cut = [windows(r, Span(0, r.samples), length=100, hop=50) for r in recorded]
    assert sum(map(len, cut)) == 4677


@pytest.mark.parametrize(
    ("split", "train", "held_out"),
    [
        (last_quarter, 1766, 1012),
        (tuning, 1392, 522),
    ],
)
def test_counts(split: Split, train: int, held_out: int) -> None:
    data = wrist.load(split)
    assert (data.training_examples, data.held_out_examples) == (train, held_out)
    assert list(data.devices) == sorted(data.devices)
    for local in data.devices.values():
        assert local.train.x.shape[1:] == local.held_out.x.shape[1:] == data.input_shape == (6, 100)
        assert local.train.x.dtype == local.held_out.x.dtype == np.float32
        assert set(local.train.y) == set(local.held_out.y) == set(range(7))


def numbered(recorded: tuple[Recording, ...]) -> list[Recording]:
    """The real recordings with every sample replaced by a number of its own, exact in float32."""
    ends = np.cumsum([recording.samples for recording in recorded])
    return [
        replace(recording, signal=np.arange(end - recording.samples, end, dtype=np.float32)[np.newaxis])
        for recording, end in zip(recorded, ends.tolist(), strict=True)
    ]


def samples(devices: dict[str, LocalData], part: str) -> np.ndarray:
    return np.concatenate([getattr(local, part).x.ravel() for local in devices.values()])


@pytest.mark.parametrize("split", [last_quarter, tuning, leave_groups_out(["s03", "s07"])])
def test_no_sample_is_in_two_training_windows_or_in_training_and_test(
    recorded: tuple[Recording, ...], split: Split
) -> None:
    devices = local_data(numbered(recorded), split, wrist.WINDOWING)
    trained, tested = samples(devices, "train"), samples(devices, "held_out")
    assert len(np.unique(trained)) == len(trained) > 0
    assert not np.intersect1d(trained, tested).size
    assert len(tested) > 0


def test_tuning_sees_nothing_of_the_test_part(recorded: tuple[Recording, ...]) -> None:
    tests = samples(local_data(numbered(recorded), last_quarter, wrist.WINDOWING), "held_out")
    tuned = local_data(numbered(recorded), tuning, wrist.WINDOWING)
    for part in ("train", "held_out"):
        assert not np.intersect1d(samples(tuned, part), tests).size


def test_held_out_subjects_never_train() -> None:
    data = wrist.load(leave_groups_out(wrist.groups([3, 10])))
    out = {device for device, subject in data.groups.items() if subject in {"s03", "s10"}}
    assert out == {"s03-left", "s03-right", "s10-left", "s10-right"}
    for device, local in data.devices.items():
        idle, busy = (local.train, local.held_out) if device in out else (local.held_out, local.train)
        assert idle.x.shape == (0, 6, 100)
        assert len(busy) > 50


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_wrong_file_is_refused_by_name_and_never_unpickled(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    file = tmp_path / "watch_dataset.npy"
    np.save(file, np.array({"X": Trap(sprung)}, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"watch_dataset\.npy: not the file") as refused:
        wrist.recordings(file)
    assert "seglearn==1.2.5" in refused.value.hint
    assert not sprung.exists()
    np.load(file, allow_pickle=True)  # the trap works: it is the check that keeps it shut
    assert sprung.exists()


def test_a_bare_pickle_is_refused_as_well(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    file = tmp_path / "watch_dataset.npy"
    file.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(DataError):
        wrist.recordings(file)
    assert not sprung.exists()


def test_one_changed_byte_is_refused(tmp_path: Path) -> None:
    content = bytearray(wrist.packaged_file().read_bytes())
    content[len(content) // 2] ^= 1
    file = tmp_path / "changed.npy"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"changed\.npy"):
        wrist.recordings(file)


def test_a_missing_file_names_what_brings_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.npy") as refused:
        wrist.recordings(tmp_path / "absent.npy")
    assert refused.value.hint == "pip install 'covey[sim]'"


def test_a_missing_package_names_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        carried_file, "find_spec", lambda name: None if name == "seglearn" else pytest.fail(name)
    )
    with pytest.raises(DataError, match="seglearn") as refused:
        wrist.recordings()
    assert refused.value.hint == "pip install 'covey[sim]'"
