import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from flwr.app import Message

from covey.arrays import digest
from covey.errors import RoundAborted, StateError, TooFewDevices
from covey.examples import Examples
from covey.ledger.checkpoint import claimed
from covey_io.settings import convert
from covey_models.evaluation import evaluate
from covey_models.training import initial, load
from covey_models.zoo.digits import MODEL
from covey_server.coordinator import Coordinator, Federated, RoundEnded
from covey_server.ledgers import opened
from covey_server.privacy import protection
from covey_server.run_folder import RunFolder
from covey_server.settings import FederationFile
from covey_server.spending import spent
from covey_simulations.grid import InProcessGrid
from digits_fleet import SIZES, Flock, crowd, cut, dealt, empty, flock, poisoned

ROUNDS = 3


def file(**tables: dict[str, Any]) -> FederationFile:
    plain: dict[str, Any] = {
        "name": "a",
        "model": {"name": "digits"},
        "federation": {"rounds": ROUNDS, "minimum_devices": 2, "validate_every": 2, "examples_cap": 64},
        "privacy": {"masks": False, "noise": False},
        "training": {"batch_size": 8},
        "strategy": {"name": "fedadam", "learning_rate": 0.05, "warmup_rounds": 1},
    }
    for table, values in tables.items():
        plain[table] = plain.get(table, {}) | values
    return convert(plain, FederationFile, "a.toml")


def ran(  # noqa: PLR0913 - every piece of a federation that a test may want otherwise
    path: Path,
    decided: FederationFile,
    *,
    seed: int = 1,
    fleet: Flock | None = None,
    grid: InProcessGrid | None = None,
    seeded: bool = True,
    observe: Callable[[RoundEnded], None] = lambda _: None,
) -> Federated:
    """Over three devices; begins a run, or goes on with the one at `path`."""
    fleet = fleet or flock()
    folder = begun(path, decided)
    with opened(folder.ledger, None) as ledger:
        return Coordinator(
            grid=grid or fleet.grid,
            file=decided,
            model=MODEL,
            folder=folder,
            ledger=ledger,
            protection=protection(decided, MODEL, fleet.operator, seeded=seeded),
            seed=seed,
            observe=observe,
        ).run()


def begun(path: Path, decided: FederationFile) -> RunFolder:
    if (path / "run.json").exists():
        return RunFolder.open(path)
    return RunFolder.create(path, msgspec.to_builtins(decided))


def asked(folder: RunFolder) -> list[dict[str, Any]]:
    """What was asked, in order."""
    return [row for row in folder.sum_rows() if row["event"] == "reserve"]


def federated(path: Path, decided: FederationFile, *, seed: int = 1) -> str:
    return digest(ran(path, decided, seed=seed).parameters)


@dataclass
class Whole:
    """A run that was copied after every round."""

    path: Path
    result: Federated
    ended: list[RoundEnded] = field(default_factory=list)

    def stopped_after(self, server_round: int, folder: Path) -> Path:
        """A copy of the run, in `folder`, as it was after a round."""
        kept = self.path.with_name(f"{self.path.name}-{server_round}")
        return shutil.copytree(kept, folder / "stopped")


def whole(path: Path, decided: FederationFile) -> Whole:
    ended: list[RoundEnded] = []

    def observe(each: RoundEnded) -> None:
        ended.append(each)
        shutil.copytree(path, path.with_name(f"{path.name}-{each.round}"))

    return Whole(path, ran(path, decided, observe=observe), ended)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return whole(tmp_path_factory.mktemp("runs") / "a", file())


def without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key != "seconds"} for row in rows]


def test_metrics_have_a_row_a_round(run: Whole) -> None:
    rows = RunFolder.open(run.path).rows()
    assert [list(row) for row in rows] == [
        ["round", "loss", "accuracy", "devices", "refused", "seconds"]
    ] * ROUNDS
    assert [row["round"] for row in rows] == [1, 2, 3]
    assert [row["accuracy"] is None for row in rows] == [True, False, False]  # every second and the last
    assert {(row["devices"], row["refused"]) for row in rows} == {(3, 0)}
    assert all(row["seconds"] > 0 for row in rows)
    assert rows[2]["loss"] < rows[0]["loss"]


def test_the_observer_is_told_what_the_rows_say(run: Whole) -> None:
    rows = RunFolder.open(run.path).rows()
    assert [(each.round, each.loss, each.accuracy) for each in run.ended] == [
        (row["round"], row["loss"], row["accuracy"]) for row in rows
    ]
    assert {(each.rounds, each.devices, each.refused) for each in run.ended} == {(3, 3, ())}


def test_the_csv_has_the_rounds(run: Whole) -> None:
    lines = (run.path / "metrics.csv").read_text().splitlines()
    assert lines[0] == "round,loss,accuracy,devices,refused,seconds"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]


def test_every_sum_is_written_down(run: Whole) -> None:
    folder = RunFolder.open(run.path)
    rows = asked(folder)
    assert [(row["round"], row["kind"]) for row in rows] == [
        (0, "statistics"),
        (1, "train"),
        (2, "train"),
        (2, "validate"),
        (3, "train"),
        (3, "validate"),
    ]
    for row in rows:
        assert (row["asked"], row["minimum"]) == (3, 2)
        assert (row["masks"], row["noise"]) == ("none", None)
        assert row["elements"] == sum(part["length"] for part in row["parts"])
        assert row["bytes_per_device"] == 4 * row["elements"]
    assert [part["name"] for part in rows[1]["parts"]] == ["update", "loss", "weight"]
    assert rows[1]["parts"][0] | {"scale": 0} == {"name": "update", "length": 3818, "clip": 10.0, "scale": 0}
    events = [(row["event"], row["sum"]) for row in folder.sum_rows()]
    assert events == [(event, serial) for serial in range(1, 7) for event in ("reserve", "settle")]
    assert {row["devices"] for row in folder.sum_rows() if row["event"] == "settle"} == {3}


def test_the_result_is_the_last_checkpoint_and_its_evaluation(run: Whole) -> None:
    saved = RunFolder.open(run.path).latest()
    assert saved is not None
    assert saved.round == ROUNDS
    assert digest(saved.parameters) == digest(run.result.parameters)
    assert saved.preprocessing == run.result.preprocessing
    assert run.result.preprocessing is not None
    network = MODEL.build()
    load(network, run.result.parameters)
    pooled = Examples.join([local.held_out for local in dealt()])
    scaled = Examples(run.result.preprocessing.apply(pooled.x), pooled.y)
    expected = evaluate(network, scaled, MODEL.classes).confusion
    assert run.result.validation.confusion == pytest.approx(expected, abs=1e-4)
    assert run.ended[-1].accuracy == pytest.approx(np.trace(expected) / sum(SIZES), abs=1e-6)


def test_training_began_from_the_seeds_model_and_learned(run: Whole) -> None:
    assert digest(run.result.parameters) != digest(initial(MODEL, 1))
    assert run.ended[-1].accuracy is not None
    assert run.ended[-1].accuracy > 0.4


@pytest.mark.parametrize("server_round", range(1, ROUNDS + 1))
def test_a_run_goes_on_from_each_checkpoint_to_the_same_model(
    run: Whole, tmp_path: Path, server_round: int
) -> None:
    path = run.stopped_after(server_round, tmp_path)
    seen: list[int] = []
    found = ran(path, file(), observe=lambda each: seen.append(each.round))
    assert seen == list(range(server_round + 1, ROUNDS + 1))
    assert digest(found.parameters) == digest(run.result.parameters)
    assert found.validation.confusion.tolist() == run.result.validation.confusion.tolist()
    assert found.preprocessing == run.result.preprocessing
    rows, expected = (RunFolder.open(each).rows() for each in (path, run.path))
    assert without_seconds(rows) == without_seconds(expected)


@pytest.mark.parametrize("strategy", ["fedavg", "fedprox", "fedyogi", "fedavgm"])
def test_each_strategy_goes_on_from_a_checkpoint(tmp_path: Path, strategy: str) -> None:
    decided = file(strategy={"name": strategy, "proximal_mu": 0.1, "schedule": "cosine"})
    found = whole(tmp_path / "a", decided)
    assert federated(found.stopped_after(2, tmp_path), decided) == digest(found.result.parameters)


def test_a_crash_between_the_row_and_the_checkpoint_is_asked_again(run: Whole, tmp_path: Path) -> None:
    path = run.stopped_after(2, tmp_path)
    (path / "checkpoints" / "round-000002.ckpt").unlink()
    assert federated(path, file()) == digest(run.result.parameters)
    folder = RunFolder.open(path)
    assert [row["round"] for row in folder.rows()] == [1, 2, 3]
    trained = [row["round"] for row in asked(folder) if row["kind"] == "train"]
    assert trained == [1, 2, 2, 3]  # both askings stand


@pytest.mark.parametrize("torn", [b"{", b'{"kind":"round.reserve","plan":"3gAWp3Zl'])
def test_a_crash_before_the_first_checkpoint_leaves_nothing_in_the_way(
    run: Whole, tmp_path: Path, torn: bytes
) -> None:
    path = tmp_path / "a"
    decided = file()
    files = begun(path, decided).ledger
    with opened(files, None):
        pass
    files.entries.write_bytes(torn)
    assert federated(path, decided) == digest(run.result.parameters)
    assert [row["sum"] for row in asked(RunFolder.open(path))] == [1, 2, 3, 4, 5, 6]


def test_a_damaged_checkpoint_stops_the_run_and_overwrites_nothing(run: Whole, tmp_path: Path) -> None:
    path = run.stopped_after(2, tmp_path)
    last = path / "checkpoints" / "round-000002.ckpt"
    last.write_bytes(last.read_bytes()[:-1])
    before = {each: each.read_bytes() for each in path.rglob("*") if each.is_file()}
    with pytest.raises(StateError, match=r"round-000002\.ckpt is damaged"):
        ran(path, file())
    assert {each: each.read_bytes() for each in path.rglob("*") if each.is_file()} == before


def test_the_same_seed_gives_the_same_model_and_another_another(run: Whole, tmp_path: Path) -> None:
    assert federated(tmp_path / "a", file()) == digest(run.result.parameters)
    assert federated(tmp_path / "b", file(), seed=2) != digest(run.result.parameters)


def asked_nodes(path: Path, decided: FederationFile, seed: int) -> list[tuple[str, tuple[int, ...]]]:
    """Which nodes were sent what, message by message, joined by query."""
    sent: list[tuple[str, tuple[int, ...]]] = []
    grid = flock(dealt([12] * 5)).grid
    deliver = grid.push_messages

    def push(messages: list[Message]) -> object:
        told = list(messages)
        nodes = tuple(message.metadata.dst_node_id for message in told)
        sent.append((told[0].metadata.message_type, nodes))
        return deliver(told)

    grid.push_messages = push  # type: ignore[assignment,method-assign]
    ran(path, decided, seed=seed, grid=grid)
    return sent


def test_cohorts_are_drawn_from_the_seed(tmp_path: Path) -> None:
    decided = file(federation={"devices_per_round": 2, "rounds": 4})
    first = asked_nodes(tmp_path / "a", decided, 1)
    assert [kind for kind, _ in first] == [
        "query.answer",
        "train.answer",
        "train.answer",
        "evaluate.answer",
        "train.answer",
        "train.answer",
        "evaluate.answer",
        "evaluate.answer",
    ]
    assert all(len(nodes) == 2 for _, nodes in first[:-1])
    assert first[-1][1] == (2, 3, 4, 5, 6)  # the final model is validated on all
    assert len({nodes for _, nodes in first[:-1]}) > 1
    assert asked_nodes(tmp_path / "b", decided, 1) == first
    assert asked_nodes(tmp_path / "c", decided, 2) != first


def test_without_standardising_no_statistics_are_asked(tmp_path: Path) -> None:
    found = ran(tmp_path / "a", file(federation={"standardise": False}))
    assert found.preprocessing is None
    assert asked(RunFolder.open(tmp_path / "a"))[0]["kind"] == "train"


def test_too_few_devices_stop_the_run_at_the_last_checkpoint(run: Whole, tmp_path: Path) -> None:
    path = run.stopped_after(1, tmp_path)
    before = RunFolder.open(path).sum_rows()
    with pytest.raises(TooFewDevices, match="1 devices are connected, the minimum is 2"):
        ran(path, file(), grid=flock([cut(0, 9)]).grid)
    saved = RunFolder.open(path).latest()
    assert saved is not None
    assert saved.round == 1
    assert RunFolder.open(path).sum_rows() == before  # nobody was asked
    assert federated(path, file()) == digest(run.result.parameters)


def test_a_fleet_without_examples_is_said_at_once(tmp_path: Path) -> None:
    grid = flock([empty(), empty()]).grid
    with pytest.raises(RoundAborted, match="no device has a training example"):
        ran(tmp_path / "a", file(), grid=grid)
    assert RunFolder.open(tmp_path / "a").latest() is None


def test_a_device_with_spoilt_data_does_not_stop_the_run(tmp_path: Path) -> None:
    fleet = flock([poisoned(dealt()[0], np.nan), *dealt()[1:]])
    found = ran(tmp_path / "a", file(), grid=fleet.grid)
    rows = RunFolder.open(tmp_path / "a").rows()
    assert {row["devices"] for row in rows} == {3}
    assert found.validation.confusion.sum() == pytest.approx(sum(SIZES[1:]), abs=1e-4)
    assert len(fleet.logs[2]) == 6
    expected = ran(tmp_path / "b", file(), grid=flock([empty(), *dealt()[1:]]).grid)
    assert digest(found.parameters) == digest(expected.parameters)


# Masks and noise

NOISY = {
    "train_multiplier": 0.1,
    "statistics_multiplier": 0.1,
    "validate_multiplier": 0.1,
    "calibrate_multiplier": 0.1,
}


def noisy(*, minimum: int = 2, **privacy: Any) -> FederationFile:
    """Two rounds with noise; without masks unless told otherwise."""
    return file(
        federation={"rounds": 2, "validate_every": 1, "minimum_devices": minimum},
        privacy={"masks": False, "noise": True} | NOISY | privacy,
    )


def test_seeded_noise_gives_the_same_model_again_and_the_systems_another(tmp_path: Path) -> None:
    seeded = {federated(tmp_path / name, noisy()) for name in "ab"}
    private = {digest(ran(tmp_path / name, noisy(), seeded=False).parameters) for name in "cd"}
    assert len(seeded) == 1
    assert len(private | seeded) == 3
    assert [row["noise"]["seeded"] for row in asked(RunFolder.open(tmp_path / "c"))] == [False] * 5


def test_noise_changes_the_model(tmp_path: Path) -> None:
    found = [file(federation={"rounds": 2, "validate_every": 1}), noisy(), noisy(train_multiplier=0.2)]
    assert len({federated(tmp_path / str(number), each) for number, each in enumerate(found)}) == 3


def test_masks_change_no_number(tmp_path: Path) -> None:
    paths = [tmp_path / "on", tmp_path / "elided"]
    for path, masks in zip(paths, (True, "elided"), strict=True):
        ran(path, noisy(masks=masks, minimum=9), fleet=crowd())
    on, elided = (RunFolder.open(path) for path in paths)
    assert without_seconds(on.rows()) == without_seconds(elided.rows())
    saved = [folder.latest() for folder in (on, elided)]
    assert saved[0]
    assert saved[1]
    assert digest(saved[0].parameters) == digest(saved[1].parameters)
    assert [row["masks"] for row in asked(on)] == ["on"] * 5
    assert all("u1" in row for row in on.sum_rows() if row["event"] == "settle")


def test_a_sum_is_reserved_on_disk_before_a_device_is_asked(tmp_path: Path) -> None:
    fleet = crowd()
    grid = fleet.grid
    deliver, stages = grid.push_messages, []

    def push(messages: list[Message]) -> object:
        told = list(messages)
        folder = RunFolder.open(tmp_path / "a")
        last, data = folder.sum_rows()[-1], folder.ledger.head()
        assert data
        assert claimed(data, blame="test").size == len(folder.ledger.lines()[0])  # and announced
        stage = told[0].metadata.message_type
        stages.append(stage)
        category = {"query": "statistics", "train": "train", "evaluate": "validate"}[stage.partition(".")[0]]
        assert (last["event"], last["kind"]) == ("reserve", category), stage
        return deliver(told)

    grid.push_messages = push  # type: ignore[assignment,method-assign]
    decided = noisy(masks=True, minimum=9)
    ran(tmp_path / "a", decided, fleet=fleet, grid=grid)
    assert {"query.advertise", "train.share", "evaluate.masked", "train.unmask"} <= set(stages)


def test_what_a_crash_cut_short_is_aborted_charged_and_asked_again(tmp_path: Path) -> None:
    decided = noisy()
    expected = federated(tmp_path / "whole", decided)
    grid = flock().grid
    deliver = grid.push_messages

    def crashes(messages: list[Message]) -> object:
        told = list(messages)
        if "evaluate" in told[0].metadata.message_type:
            raise KeyboardInterrupt
        return deliver(told)

    grid.push_messages = crashes  # type: ignore[assignment,method-assign]
    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path / "crashed", decided, grid=grid)
    assert federated(tmp_path / "crashed", decided) == expected

    whole, crashed = (RunFolder.open(tmp_path / name).sum_rows() for name in ("whole", "crashed"))
    events = [(row["event"], row["sum"], row["round"], row["kind"]) for row in crashed]
    assert events[:8] == [
        ("reserve", 1, 0, "statistics"),
        ("settle", 1, 0, "statistics"),
        ("reserve", 2, 1, "train"),
        ("settle", 2, 1, "train"),  # of a round without a checkpoint: spent all the same
        ("reserve", 3, 1, "validate"),
        ("abort", 3, 1, "validate"),
        ("reserve", 4, 1, "train"),
        ("settle", 4, 1, "train"),
    ]
    assert crashed[5]["reason"] == "the server stopped before the sum was opened"
    costs = [spent(rows, 1e-5) for rows in (whole, crashed)]
    assert (costs[0].unopened, costs[1].unopened) == (0, 1)
    assert costs[1].sums == {"statistics": 1, "train": 3, "validate": 3}
    for view in ("server", "release"):
        before, after = (getattr(cost, view) for cost in costs)
        assert after.value > before.value


def test_a_run_of_several_cohorts_counts_the_costliest_of_a_sum_once(tmp_path: Path) -> None:
    fleet = flock(dealt([6] * 7))
    decided = noisy(largest_cohort=4)  # seven devices: sums over four and over three
    ran(tmp_path / "a", decided, fleet=fleet)
    folder = RunFolder.open(tmp_path / "a")
    rows = asked(folder)
    assert [(row["cohorts"], row["cohort_number"], row["asked"]) for row in rows[:2]] == [
        (2, 0, 4),
        (2, 1, 3),
    ]
    assert len({row["sum"] for row in rows}) == 5
    assert {row["devices"] for row in folder.rows()} == {7}
    once = spent([row for row in folder.sum_rows() if row["cohort_number"] == 0], 1e-5)
    found = spent(folder.sum_rows(), 1e-5)
    assert found.sums == once.sums == {"statistics": 1, "train": 2, "validate": 2}
    assert found.server == once.server  # the guaranteed noise is the same in every cohort


def test_too_few_devices_for_masks_are_not_asked(tmp_path: Path) -> None:
    with pytest.raises(TooFewDevices, match="9 devices are connected, the minimum is 10"):
        ran(tmp_path / "a", noisy(masks=True), fleet=flock(dealt([4] * 9)))
    assert RunFolder.open(tmp_path / "a").sum_rows() == []


def test_dp_sgd_steps_train_a_model(tmp_path: Path) -> None:
    decided = file(
        federation={"rounds": 8, "validate_every": 8, "standardise": False, "examples_cap": 64},
        privacy={"unit": "example"},
        training={"learning_rate": 2.0, "gradient_clip": 1.0, "sampling_rate": 0.5, "expected_batch": 38.0},
        strategy={"name": "fedavg"},
    )
    ran(tmp_path / "a", decided)
    folder = RunFolder.open(tmp_path / "a")
    rows = folder.rows()
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    assert [(row["kind"], row["sampling_rate"], row["unit"]) for row in asked(folder)] == [
        *[("gradient", 0.5, "example")] * 8,
        ("validate", 1.0, "example"),
    ]


def test_a_minimum_of_the_rounds_cohort_is_not_one_of_all_devices(tmp_path: Path) -> None:
    fleet = crowd(16)
    table = {"rounds": 1, "devices_per_round": 10, "minimum_devices": 7, "standardise": False}
    decided = file(federation=table, privacy={"masks": True})
    ran(tmp_path / "a", decided, fleet=fleet)
    rows = asked(RunFolder.open(tmp_path / "a"))
    assert [(row["kind"], row["asked"], row["minimum"]) for row in rows] == [
        ("train", 10, 7),
        ("validate", 10, 7),
        ("validate", 16, 11),  # a majority of sixteen is more than seven
    ]
