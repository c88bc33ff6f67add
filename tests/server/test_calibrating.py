from pathlib import Path
from typing import Any

import numpy as np
import pytest

from covey.errors import RoundAborted, StateError
from covey.plan import Calibrate
from covey_models.quantise_graph import asked, prepared, values
from covey_server.calibrating import Ranges, Trained, private_ranges
from covey_server.run_folder import CALIBRATION
from covey_server.settings import FederationFile
from trained_digits import asked_about, asks, file, fleet, scaled, trained, zeros

WIDTH = 2 ** (1 / 3)
"""Of a bin: values are known up to this factor."""
NOISE: dict[str, Any] = {
    "masks": "elided",
    "noise": True,
    **{f"{kind}_multiplier": 0.01 for kind in ("train", "statistics", "validate", "calibrate")},
}


def ranges(folder: Path, decided: FederationFile | None = None, of: Trained | None = None) -> Ranges:
    decided = decided or file({})
    with asks(folder, decided) as ask:
        return private_ranges(ask, decided, of or trained(), folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Ranges:
    return ranges(tmp_path_factory.mktemp("ranges") / "a")


def check_close(found: Ranges, *, bins: float) -> None:
    """Held against what the same examples show in one place: never less, and little more."""
    seen = values(prepared(trained().fp32), scaled(asked_about().train), list(found.tensors))
    for name, (low, high) in found.tensors.items():
        for said, true in ((high, max(seen[name].max(), 0)), (-low, max(-seen[name].min(), 0))):
            least = high / 64 if true == 0 else true  # below the first bin nothing is told apart
            assert true / WIDTH**bins <= said * 1.0001, name
            assert said <= max(least * WIDTH ** (1 + bins), 0.5), name


def test_without_noise_they_are_those_of_all_examples_in_one_place_but_for_a_bin(found: Ranges) -> None:
    check_close(found, bins=0)


def test_every_tensor_that_is_quantised_has_one(found: Ranges) -> None:
    assert tuple(found.tensors) == asked(prepared(trained().fp32))
    assert (found.lost, found.left_out, found.deviation, found.devices) == ((), (), 0, 12)


def test_a_little_noise_moves_them_by_a_bin_or_two(tmp_path: Path) -> None:
    decided = file({}, privacy=NOISE)
    noisy = ranges(tmp_path / "a", decided)
    assert noisy.deviation > 1
    assert noisy.lost == ()
    check_close(noisy, bins=3)
    assert f"noise of deviation {noisy.deviation:.3g} on each count: 4 tensors." in noisy.words


def test_what_drowns_in_noise_has_a_public_range_and_is_said(tmp_path: Path) -> None:
    decided = file({}, privacy=NOISE | {"calibrate_multiplier": 3.0})
    noisy = ranges(tmp_path / "a", decided)
    assert set(noisy.lost) == set(noisy.tensors)
    assert all(low < 0 < high for low, high in noisy.tensors.values())
    assert noisy.words.endswith("4 tensors; 4 drowned in noise and have a public range.")


@pytest.mark.parametrize("cap", [64, 20])
def test_each_example_up_to_the_cap_counts_once(tmp_path: Path, cap: int) -> None:
    found = ranges(
        tmp_path / "a",
        file(
            {},
            federation={"examples_cap": cap},
            privacy={"unit": "example"},
            training={"gradient_clip": 1.0, "expected_batch": 10.0},
        ),
    )
    assert found.examples == pytest.approx(12 * min(36, cap))


def test_devices_are_asked_once_about_a_model_and_again_about_another(tmp_path: Path, found: Ranges) -> None:
    decided = file({})
    with asks(tmp_path / "a", decided) as ask:
        for _ in range(3):
            assert private_ranges(ask, decided, trained(), tmp_path / "a") == found
        assert ask.names == ["Calibrate"]
        # as where a checkpoint was lost, and the rounds ended in another model
        other = private_ranges(ask, decided, zeros(), tmp_path / "a")
        assert other.tensors != found.tensors
        assert ask.names == ["Calibrate"] * 2
        assert private_ranges(ask, decided, zeros(), tmp_path / "a") == other
        assert ask.names == ["Calibrate"] * 2


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"model": 1}', b"\xff"])
def test_a_damaged_answer_is_named_and_not_asked_for_again_unbidden(tmp_path: Path, damage: bytes) -> None:
    decided = file({})
    with asks(tmp_path / "a", decided) as ask:
        (tmp_path / "a" / CALIBRATION).write_bytes(damage)
        with pytest.raises(StateError, match=r"a/calibration\.json is damaged") as caught:
            private_ranges(ask, decided, trained(), tmp_path / "a")
        assert caught.value.hint == "remove it: the devices are asked again, and that counts again"
        assert ask.tasks == []
        (tmp_path / "a" / CALIBRATION).unlink()  # as it says
        private_ranges(ask, decided, trained(), tmp_path / "a")
        assert ask.names == ["Calibrate"]


def test_too_few_devices_leave_nothing_that_looks_like_an_answer(tmp_path: Path) -> None:
    decided = file({}, federation={"minimum_devices": 13})
    with asks(tmp_path / "a", decided, fleet()) as ask, pytest.raises(RoundAborted):
        private_ranges(ask, decided, trained(), tmp_path / "a")
    assert not (tmp_path / "a" / CALIBRATION).exists()


def test_the_plan_says_where_devices_look_and_how_far_nothing_of_their_data(tmp_path: Path) -> None:
    """Scales follow from the network's architecture, parameters and seed alone: no device has said them."""
    decided = file({})
    with asks(tmp_path / "a", decided) as one, asks(tmp_path / "b", decided, fleet(("odd",))) as other:
        for ask, name in ((one, "a"), (other, "b")):
            private_ranges(ask, decided, trained(), tmp_path / name)
    assert one.tasks == other.tasks
    (task,) = one.tasks
    assert isinstance(task, Calibrate)
    assert np.all(np.diff([each.point for each in task.points]) > 0)
    assert task.examples_cap == 64
