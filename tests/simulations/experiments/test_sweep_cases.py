from pathlib import Path
from typing import Any

import pytest

from covey.errors import ConfigError
from covey_io import settings
from covey_simulations.experiments import sweep_file as files
from covey_simulations.experiments.cases import Planned, cases_of, planned
from covey_simulations.experiments.changes import overrides
from covey_simulations.experiments.sweep_file import SweepFile, base_of
from small_sweep import FEDERATION, sweep_file


def runs(digests: dict[str, str] | None = None, **keys: Any) -> list[Planned]:
    file = sweep_file(**keys)
    return planned(file, base_of(file, Path()), lambda _: digests or {})


def labels(**keys: Any) -> list[str]:
    return [case.label for case in cases_of(sweep_file(**keys))]


ADAM = {"name": "adam", "strategy": {"name": "fedadam", "learning_rate": 0.01}}


def test_every_named_case_is_combined_with_every_point_of_the_grid() -> None:
    grid = {"training": {"learning_rate": [0.1, 0.2]}, "training.epochs": [1, 2]}
    assert labels(cases=[{"name": "avg"}, ADAM], grid=grid) == [
        f"{name}, learning_rate={rate}, epochs={epochs}"
        for name in ("avg", "adam")
        for rate in (0.1, 0.2)
        for epochs in (1, 2)
    ]


def test_a_case_without_a_name_is_called_by_what_it_changes() -> None:
    assert labels(cases=[{"strategy": {"name": "fedadam"}}], grid={}) == ["name=fedadam"]


def test_keys_that_end_alike_are_written_whole() -> None:
    grid = {"training.learning_rate": [0.1, 0.2], "strategy.learning_rate": [1, 2]}
    assert labels(grid=grid)[0] == "training.learning_rate=0.1, strategy.learning_rate=1"


def test_what_is_the_same_everywhere_is_not_in_a_name() -> None:
    assert labels(grid={"training.epochs": [3], "training.learning_rate": [0.1, 0.2]}) == [
        "learning_rate=0.1",
        "learning_rate=0.2",
    ]


def test_a_sweep_over_seeds_alone_has_one_case_of_its_own_name() -> None:
    assert labels(grid={}) == ["rates"]
    assert [run.seed for run in runs(grid={}, seeds=[4, 2])] == [4, 2]


def test_changes_reach_the_configuration_and_the_base_stays() -> None:
    first, *_, last = runs(cases=[{"name": "avg"}, ADAM])
    assert (first.file.strategy.name, last.file.strategy.name) == ("fedavg", "fedadam")
    assert (first.file.training.learning_rate, last.file.training.learning_rate) == (0.001, 0.05)
    assert first.file.training.epochs == last.file.training.epochs == FEDERATION["training"]["epochs"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("cases", [(0.001, 0), (0.001, 1), (0.05, 0), (0.05, 1)]),
        ("seeds", [(0.001, 0), (0.05, 0), (0.001, 1), (0.05, 1)]),
    ],
)
def test_the_order_is_that_of_the_file(order: str, expected: list[tuple[float, int]]) -> None:
    found = [(run.file.training.learning_rate, run.seed) for run in runs(order=order)]
    assert found == expected
    assert [run.name for run in runs(order=order)] == [run.name for run in runs(order=order)]


def test_a_folder_is_named_by_case_seed_and_all_that_is_run() -> None:
    (first, *_) = runs()
    assert first.name.startswith("learning-rate-0-001-s0-")
    others = [runs(base=FEDERATION | {"central": {"epochs": 1}}), runs({"model.py": "ab"})]
    assert len({first.name, *(other[0].name for other in others)}) == 3
    assert runs(name="other-sweep", target=0.9)[0].name == first.name
    assert runs(base=FEDERATION | {"name": "renamed"})[0].name == first.name


def test_long_names_fit_a_run() -> None:
    (run,) = runs(cases=[{"name": "Ä very lóng name " * 9}], grid={}, seeds=[2**62])
    assert len(run.name) <= 63
    assert run.name.endswith(run.name[-8:])
    assert f"-s{2**62}-" in run.name


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"grid": {"training.epochs": 3}}, "grid.training.epochs: expected a list of values"),
        ({"grid": {"training.epochs": []}}, "expected a list of values"),
        ({"grid": {"seed": [1, 2]}}, "write seeds"),
        ({"cases": [{"name": "a"}, {"name": "a"}], "grid": {}}, "is there twice"),
        ({"cases": [{"name": 3}]}, "cases.name: expected a string"),
        (
            {"grid": {"training.epoch": [1]}},
            "case 'rates': training.epoch: unknown key; did you mean epochs?",
        ),
        ({"grid": {"training.epochs": [1, "two"]}}, "case 'epochs=two': training.epochs"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        runs(**keys)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"seeds": []}, "seeds"),
        ({"stop": {}}, r"\[stop\] needs patience, or target"),
        ({"halving": {"first": 0}}, "halving.first"),
        ({"paralel": 2}, "did you mean parallel?"),
    ],
)
def test_a_wrong_sweep_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sweep_file(**keys)


def test_a_base_is_found_beside_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('name = "b"\n[federation]\nrounds = 3\n')
    (tmp_path / "sweep.toml").write_text('name = "s"\nbase = "base.toml"\n[grid]\ntraining.epochs = [1, 2]\n')
    file, base = files.load(tmp_path / "sweep.toml", ["seeds=[5]"])
    assert base["federation"] == {"rounds": 3}
    assert (file.seeds, file.grid) == ((5,), {"training": {"epochs": [1, 2]}})


def test_a_missing_base_is_said() -> None:
    with pytest.raises(ConfigError, match=r"gone.toml: no such file"):
        base_of(sweep_file(base="gone.toml"), Path())
    with pytest.raises(ConfigError, match="name a federation's TOML file"):
        base_of(sweep_file(base=""), Path())


@pytest.mark.parametrize(
    "value",
    [True, 3, 0.1, 1e-9, float("inf"), "fedadam", 'say "hi"', "1e3", "two\nlines", [1, 2], ["a", "b"]],
)
def test_a_value_survives_its_way_into_a_configuration(value: object) -> None:
    (override,) = overrides({"base": {"key": value}})
    file = settings.convert({"name": "s", "base": {}}, SweepFile, "a test", [override])
    assert file.base == {"key": value}


def test_none_cannot_be_written() -> None:
    with pytest.raises(ConfigError, match="leave the key out"):
        list(overrides({"privacy.epsilon": None}))
