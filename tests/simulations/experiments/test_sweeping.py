"""Sweeps whose runs are real and small: their results, and how they are gone on with."""

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from covey.errors import ConfigError, InputError, StateError
from covey_io import settings
from covey_simulations.experiments.carrying import READ
from covey_simulations.experiments.cases import Planned
from covey_simulations.experiments.jobs import Began, Ended, Failed, Progressed, Told
from covey_simulations.experiments.pool import Here
from covey_simulations.experiments.sweep_folder import SweepFolder
from covey_simulations.settings import SimulationFile
from small_sweep import FEDERATION, carried_out, sweeping


@dataclass
class Seen:
    """Somebody who watches a sweep, and may have enough of it.

    Attributes:
        stop_after: Rounds after which Ctrl-C is pressed.
        told: What was heard, with names of runs.
        done: What was done at its beginning.
    """

    stop_after: int | None = None
    told: list[tuple[str, Told]] = field(default_factory=list)
    done: Mapping[str, int] = field(default_factory=dict)

    def begin(self, runs: Sequence[Planned], done: Mapping[str, int]) -> None:
        assert [run.name for run in runs] == list(done)
        self.done = done

    def heard(self, run: Planned, told: Told) -> None:
        self.told.append((run.name, told))
        if self.rounds == self.stop_after:
            raise KeyboardInterrupt

    @property
    def rounds(self) -> int:
        return sum(isinstance(told, Progressed) for _, told in self.told)

    def of(self, kind: type[Any]) -> list[str]:
        return [name for name, told in self.told if isinstance(told, kind)]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    return carried_out(tmp_path_factory.mktemp("sweep"), target=0.5)


def results(folder: SweepFolder) -> list[dict[str, str]]:
    with (folder.path / "results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def outcome(folder: SweepFolder) -> list[tuple[str, ...]]:
    """What must not depend on how often a sweep was stopped."""
    return [(row["run"], row["state"], row["rounds"], row["model_sha256"]) for row in results(folder)]


def test_results_have_a_row_a_run_with_what_varies_and_what_it_came_to(swept: SweepFolder) -> None:
    rows = results(swept)
    assert [(row["training.learning_rate"], row["seed"], row["state"]) for row in rows] == [
        ("0.001", "0", "finished"),
        ("0.001", "1", "finished"),
        ("0.05", "0", "finished"),
        ("0.05", "1", "finished"),
    ]
    for row in rows:
        assert row["rounds"] == "6"
        assert row["error"] == row["epsilon_server"] == row["accuracy_fp32"] == ""
        assert int(row["bytes_per_device"]) > 1000
        assert float(row["cpu_seconds"]) > 0.01
        assert 50 < float(row["peak_memory_mb"]) < 5000
        assert row["version_torch"]
    assert min(float(row["accuracy"]) for row in rows[2:]) > max(float(row["accuracy"]) for row in rows[:2])
    assert [row["rounds_to_target"] != "" for row in rows] == [False, False, True, True]


def test_parquet_is_the_csv(swept: SweepFolder) -> None:
    for name, rows in (("results", 4), ("rounds", 24)):
        table = pyarrow.parquet.read_table(swept.path / f"{name}.parquet")
        lines = (swept.path / f"{name}.csv").read_text().splitlines()
        assert (table.num_rows, len(lines)) == (rows, rows + 1)
        assert table.column_names == lines[0].split(",")


def test_rounds_are_those_of_the_runs(swept: SweepFolder) -> None:
    table = pyarrow.parquet.read_table(swept.path / "rounds.parquet").to_pylist()
    for run, record in swept.records().items():
        assert [row["loss"] for row in table if row["run"] == run] == list(record.metrics["loss"])


def test_every_resolved_configuration_is_beside_the_results(swept: SweepFolder) -> None:
    known = json.loads((swept.path / "configurations.json").read_bytes())
    assert list(known) == [row["run"] for row in results(swept)]
    for run, plain in known.items():
        file = settings.convert(plain, SimulationFile, run)
        assert file == settings.load(swept.path / run / "config.toml", SimulationFile)


def test_a_run_of_a_sweep_ends_with_its_training(swept: SweepFolder) -> None:
    (run, *_) = swept.records()
    names = {path.name for path in swept.run(run).iterdir()}
    assert {"summary.json", "validation.json", "metrics.csv", "checkpoints"} <= names
    assert not {"report.html", f"{run}.covey", "central.json"} & names


def test_what_is_finished_is_not_run_again(swept: SweepFolder) -> None:
    seen, before = Seen(), outcome(swept)
    again = sweeping(swept.path.parent, seen, target=0.5)
    again.begin(retry=False)
    again.carry_out(Here(READ))
    again.write_results()
    assert seen.told == []
    assert set(seen.done.values()) == {6}
    assert outcome(swept) == before


def test_a_sweep_that_grows_runs_what_is_new(swept: SweepFolder, tmp_path: Path) -> None:
    shutil.copytree(swept.path, tmp_path / "rates")
    seen = Seen()
    more = sweeping(tmp_path, seen, seeds=[0, 1, 2])
    more.begin(retry=False)
    more.carry_out(Here(READ))
    more.write_results()
    assert [name.split("-")[-2] for name in seen.of(Began)] == ["s2", "s2"]
    assert len(results(more.folder)) == 6


def test_stopped_anywhere_the_same_sweep_goes_on_and_ends_alike(swept: SweepFolder, tmp_path: Path) -> None:
    for stop_after in (3, 5, 9):
        seen = Seen(stop_after)
        work = sweeping(tmp_path, seen, target=0.5)
        work.begin(retry=False)
        with pytest.raises(KeyboardInterrupt):
            work.carry_out(Here(READ))
    last = Seen()
    work = sweeping(tmp_path, last, target=0.5)
    work.begin(retry=False)
    assert sum(last.done.values()) == 3 + 5 + 9
    work.carry_out(Here(READ))
    work.write_results()
    assert last.rounds == 24 - 17
    assert outcome(work.folder) == outcome(swept)


def test_results_say_what_is_not_finished(tmp_path: Path) -> None:
    work = sweeping(tmp_path, Seen(stop_after=8))
    work.begin(retry=False)
    with pytest.raises(KeyboardInterrupt):
        work.carry_out(Here(READ))
    work.write_results()
    assert [row["state"] for row in results(work.folder)] == ["finished"] + ["unfinished"] * 3
    assert [row["accuracy"] == "" for row in results(work.folder)] == [False, True, True, True]


FAILS: dict[str, Any] = {"grid": {"data.source": ["digits", "folder"]}, "seeds": [0]}


def test_a_run_that_fails_is_no_hindrance_and_is_retried_when_asked(tmp_path: Path) -> None:
    base = FEDERATION | {"data": FEDERATION["data"] | {"partition": "iid"}}
    folder = carried_out(tmp_path, base=base, **FAILS)
    good, bad = results(folder)
    assert (good["state"], bad["state"]) == ("finished", "failed")
    assert bad["error"] == "data.path: empty"
    for retry, begun in ((False, 0), (True, 1)):
        seen = Seen()
        work = sweeping(tmp_path, seen, base=base, **FAILS)
        work.begin(retry=retry)
        work.carry_out(Here(READ))
        assert len(seen.of(Failed)) == begun
    assert folder.failure(bad["run"]) == Failed(
        message="data.path: empty", hint="name the folder that holds one .npz file per device"
    )


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("from covey_models.zoo.digits import MODEL\n")
    grid = {"model.file": [str(tmp_path / "model.py")]}
    base = FEDERATION | {"model": {}}
    folder = carried_out(tmp_path, base=base, grid=grid, seeds=[0])
    (row,) = results(folder)
    assert row["state"] == "finished"
    (folder.run(row["run"]) / "summary.json").unlink()
    (folder.run(row["run"]) / "run.json").write_text("{}")
    folder = carried_out(tmp_path, base=base, grid=grid, seeds=[0])
    why = folder.failure(row["run"])
    assert why is not None
    assert "run.json is damaged" in why.message


def test_a_changed_file_of_ones_own_is_another_run(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text("from covey_models.zoo.digits import MODEL\n")
    base = FEDERATION | {"model": {"file": str(model)}}
    first = sweeping(tmp_path, base=base).runs[0].name
    model.write_text("from covey_models.zoo.digits import MODEL  # changed\n")
    assert sweeping(tmp_path, base=base).runs[0].name != first


def test_a_run_that_has_shown_enough_ends(tmp_path: Path) -> None:
    folder = carried_out(tmp_path, stop={"target": 0.3}, seeds=[0])
    slow, quick = results(folder)
    assert (slow["rounds"], slow["ended_early"]) == ("6", "false")
    assert (quick["rounds"], quick["ended_early"]) == ("2", "true")
    assert float(quick["accuracy"]) >= 0.3
    summary = json.loads((folder.run(quick["run"]) / "summary.json").read_bytes())
    assert (summary["rounds"], summary["privacy"]["sums"]) == (2, {"train": 2, "validate": 1})


def test_halving_lets_the_better_cases_go_on(tmp_path: Path) -> None:
    grid = {"training.learning_rate": [0.00001, 0.002, 0.05]}
    folder = carried_out(tmp_path, grid=grid, seeds=[0], halving={"first": 2, "factor": 2})
    assert [row["rounds"] for row in results(folder)] == ["2", "4", "6"]
    assert [row["state"] for row in results(folder)] == ["finished"] * 3


def test_halving_that_is_stopped_decides_as_it_would_have(tmp_path: Path) -> None:
    grid = {"training.learning_rate": [0.00001, 0.002, 0.05]}
    keys: dict[str, Any] = {"grid": grid, "seeds": [0], "halving": {"first": 2, "factor": 2}}
    for stop_after in (5,):
        work = sweeping(tmp_path / "stopped", Seen(stop_after), **keys)
        work.begin(retry=False)
        with pytest.raises(KeyboardInterrupt):
            work.carry_out(Here(READ))
    stopped, whole = carried_out(tmp_path / "stopped", **keys), carried_out(tmp_path / "whole", **keys)
    assert outcome(stopped) == outcome(whole)


def test_a_pause_is_no_end(tmp_path: Path) -> None:
    seen = Seen()
    work = sweeping(tmp_path, seen, seeds=[0], halving={"first": 2, "factor": 2})
    work.begin(retry=False)
    work.carry_out(Here(READ))
    ends = [told.finished for _, told in seen.told if isinstance(told, Ended)]
    assert ends == [False, False, True, False, True]  # both pause, one ends, the other pauses at 4 and ends


def test_halving_that_cannot_rank_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no validation"):
        sweeping(tmp_path, halving={"first": 1}).begin(retry=False)
    assert not (tmp_path / "rates").exists()


def test_what_is_no_sweep_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "rates").mkdir()
    (tmp_path / "rates" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not a sweep"):
        sweeping(tmp_path).begin(retry=False)
    assert [path.name for path in (tmp_path / "rates").iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="is not a sweep"):
        SweepFolder(tmp_path).listing()


def test_a_damaged_listing_is_said(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(StateError, match="run the same covey sweep again"):
        SweepFolder(tmp_path).listing()


def test_two_processes_do_not_share_a_sweep(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "rates")
    with folder.locked(), pytest.raises(InputError, match="in use by another process"), folder.locked():
        pass
