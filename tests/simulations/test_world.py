"""What is wrong with a simulation is said before anything is written."""

from typing import Any

import msgspec
import pytest

from covey.errors import ConfigError, InputError
from covey_io.settings import convert
from covey_simulations.settings import SimulationFile
from covey_simulations.world import read

Z: dict[str, Any] = {
    "train_multiplier": 0.5,
    "statistics_multiplier": 0.5,
    "validate_multiplier": 0.5,
    "calibrate_multiplier": 0.5,
}


def file(devices: int = 12, asked: int = 0, minimum: int = 0, **privacy: Any) -> SimulationFile:
    plain = {
        "name": "small",
        "model": {"name": "digits"},
        "data": {"source": "digits", "partition": "iid", "devices": devices},
        "federation": {"rounds": 1, "devices_per_round": asked, "minimum_devices": minimum},
        "privacy": privacy,
    }
    return convert(plain, SimulationFile, "small.toml")


def test_how_much_noise_has_no_default() -> None:
    with pytest.raises(ConfigError) as caught:
        read(file())
    assert str(caught.value).startswith(
        "[privacy]: epsilon: say how much noise: epsilon = 8, or multipliers, "
    )
    assert "noise = false for an experiment" in str(caught.value)


@pytest.mark.parametrize(("devices", "asked"), [(9, 0), (12, 9), (9, 20)])
def test_too_few_devices_for_masks_are_said_with_what_to_write(devices: int, asked: int) -> None:
    with pytest.raises(InputError, match="9 devices in a sum do not hide one another") as caught:
        read(file(devices, asked, noise=False))
    assert 'masks = "elided"' in caught.value.hint


@pytest.mark.parametrize("masks", [False, "elided"])
def test_without_masks_a_few_devices_are_enough(masks: bool | str) -> None:
    assert read(file(3, masks=masks, noise=False)).protection.multipliers == {}


@pytest.mark.parametrize(("devices", "asked"), [(10, 0), (12, 10)])
def test_ten_devices_are_enough_for_masks(devices: int, asked: int) -> None:
    assert read(file(devices, asked, noise=False)).protection.masks == "on"


@pytest.mark.parametrize("asked", [0, 10])
def test_a_minimum_below_a_majority_of_honest_devices_is_said_at_once(asked: int) -> None:
    with pytest.raises(InputError, match="minimum") as caught:
        read(file(12, asked, 5, noise=False))
    assert caught.value.hint
    assert read(file(12, asked, 7, noise=False)).protection.masks == "on"
    assert read(file(12, asked, 5, noise=False, masks="elided")).protection.masks == "elided"


def test_every_sum_of_a_divided_round_must_hide_its_devices() -> None:
    with pytest.raises(InputError, match="hide one another too little"):
        read(file(13, noise=False, largest_cohort=12))  # seven and six
    assert read(file(20, noise=False, largest_cohort=12)).protection.largest == 12


@pytest.mark.parametrize("private", [True, False])
def test_noise_is_seeded_unless_it_is_to_be_private(*, private: bool) -> None:
    decided = msgspec.structs.replace(file(12, 0, 0, **Z), private_noise=private)
    assert read(decided).protection.seeded is not private
