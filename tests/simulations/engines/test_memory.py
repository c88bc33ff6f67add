"""What a run will take is said before it takes it."""

from pathlib import Path

import pytest

from covey.errors import InputError
from covey_models.cohort.programs import choose
from covey_models.registry import find
from covey_simulations.api import simulate
from covey_simulations.engines import memory


def test_an_estimate_grows_with_processes_and_with_what_each_may_take() -> None:
    chosen = choose(find("digits-mlp"), 10)
    one = memory.estimate(chosen, chosen.weights, 1, 64 << 20)
    assert one == memory.LIBRARIES + (64 << 20)
    assert memory.estimate(chosen, chosen.weights, 3, 64 << 20) == one + 2 * (memory.FORKED + (64 << 20))
    assert memory.estimate(chosen, 10**9, 1, 64 << 20) > 40e9  # one device must fit


def test_the_machine_says_what_is_free() -> None:
    free = memory.available()
    assert free is None or free > 1 << 20


def test_a_run_that_would_be_killed_is_refused_with_numbers() -> None:
    with pytest.raises(InputError, match=r"about 3\.0 GB, and 2\.0 GB are free") as refused:
        memory.check(3 * 10**9, 2 * 10**9, 2)
    assert "simulation.workers" in refused.value.hint
    memory.check(3 * 10**9, None, 2)
    memory.check(2 * 10**9, 3 * 10**9, 2)


def test_it_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    tables = {
        "name": "huge",
        "data": {"source": "digits", "partition": "iid", "devices": 4},
        "federation": {"rounds": 1, "minimum_devices": 2},
        "privacy": {"masks": "elided", "noise": False},
        "simulation": {"engine": "processes", "workers": 1024, "memory_mb": 1 << 20},
    }
    with pytest.raises(InputError, match="GB are free"):
        simulate(tables, model="digits-mlp", runs=tmp_path)


def test_a_cohort_larger_than_the_fleet_is_remarked_upon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = {
        "name": "few",
        "data": {"source": "digits", "partition": "iid", "devices": 4},
        "federation": {"rounds": 1, "devices_per_round": 9, "minimum_devices": 2, "standardise": False},
        "privacy": {"masks": "elided", "noise": False},
    }
    simulate(tables, model="digits-mlp", runs=tmp_path, stages="training", progress=True)
    shown = " ".join("".join(capsys.readouterr()).split())
    assert "devices_per_round is 9, and there are 4 devices: all are asked" in shown
