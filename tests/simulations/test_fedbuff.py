"""FedBuff: a buffer by hand, what it counts as, what it does not go with, and that it learns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from flwr.app import ConfigRecord

from covey.arrays import Parameters, digest, layout_of
from covey.encode import Integers, clip
from covey.errors import ConfigError, InputError
from covey.noise.contribution import contribute
from covey.plan import Plan, noise_shares
from covey.seeds import derive
from covey_client.seeds import SimulatedSeeds
from covey_io.settings import convert
from covey_models.training import Local, load, train
from covey_models.zoo.digits import MODEL
from covey_server import algorithms
from covey_server.run_folder import RunFolder
from covey_server.settings import FederationFile
from covey_simulations.availability import usage
from covey_simulations.availability.clockwork import Clockwork, Rules
from covey_simulations.availability.flops import Weigher
from covey_simulations.availability.grid import AvailableSums
from covey_simulations.availability.hardware import Hardware
from covey_simulations.availability.model import Modelled
from covey_simulations.availability.tiers import TIERS
from covey_simulations.availability.traces import Always
from covey_simulations.availability.usage import Usage
from covey_simulations.data.devices import Sizes
from covey_simulations.engines.grid import EngineGrid
from covey_simulations.fedbuff import Buffered, stale, weight
from covey_simulations.run import simulate
from covey_simulations.settings import SimulationFile
from covey_simulations.world import read
from covey_strategies.private import Private, Recipes
from covey_strategies.protection import Protection
from covey_strategies.queries.answer import answer
from covey_strategies.wire import from_record, to_record
from digits_fleet import (
    INNER,
    NOISY,
    TRAIN,
    VALIDATE,
    Flock,
    MemoryBook,
    app_of,
    asking,
    coins_of,
    crowd,
    parameters,
)

MANY, BUFFER, RATE = 12, 4, 0.5
TASK = msgspec.structs.replace(TRAIN, weighting="devices", update_clip=0.3)


class Totals:
    """Rows and noise of some devices of a flock, as they would answer."""

    def __init__(self, fleet: Flock) -> None:
        self.fleet = fleet
        self.asked: list[tuple[Plan, Sequence[int]]] = []

    def total(self, plan: Plan, parameters: Parameters, nodes: Sequence[int], dropped: int) -> Integers:
        del dropped
        self.asked.append((plan, nodes))
        total = np.zeros(plan.length, np.int64)
        for node in nodes:
            device = self.fleet.devices[node]
            total += answer(plan, parameters, device, coins_of(device, plan))
            if plan.noise is not None:
                total += self.noise(plan, node)
        return total

    def noise(self, plan: Plan, node: int) -> Integers:
        assert plan.noise
        seed = SimulatedSeeds(self.fleet.devices[node].seed).noise(plan)
        shares = noise_shares(plan, plan.cohort)
        return np.asarray(contribute(plan.noise.mechanism, shares, plan.length, seed).noise, np.int64)


def buffered(
    fleet: Flock, book: MemoryBook, totals: Totals, protection: Protection | None = None
) -> Buffered:
    hardware = Hardware(1, [TIERS["pi-zero-2w"]], [1.0], law="pareto", spread=1.0)
    clockwork = Clockwork(
        rules=Rules(1, 0.0, 2, 1e6),
        availability=Modelled(Always(), hardware),
        weigh=Weigher(MODEL, Sizes(np.full(MANY, 5), np.full(MANY, 5)), 2).work,
        usage=Usage(),
    )
    grid = EngineGrid(app_of(fleet.participants), sorted(fleet.devices), totals)
    plain = Private(
        INNER["FedAvg"](),
        asking(book=book, protection=protection),
        Recipes(lambda _: TASK, VALIDATE, server_rate=lambda _: RATE),
    )
    return Buffered(plain, AvailableSums(grid, clockwork), BUFFER, concurrency=6)


def rounds(strategy: Buffered, model: Parameters, numbers: range) -> list[Parameters]:
    """The model at the beginning, and after each round."""
    models = [model]
    for number in numbers:
        asked = strategy.configure_train(number, to_record(models[-1]), ConfigRecord(), strategy._grid)
        assert not list(asked)
        arrays, _ = strategy.aggregate_train(number, [])
        assert arrays is not None
        models.append(from_record(arrays))
    return models


def change_of(fleet: Flock, node: int, model: Parameters, server_round: int) -> np.ndarray:
    """A device's update, clipped."""
    device, network = fleet.devices[node], MODEL.build()
    load(network, model)
    seed = derive(device.seed, "train", server_round)
    after = train(network, Local(device.data.train, None, MODEL.augment), TASK, seed).parameters
    layout = layout_of(model)
    return np.asarray(clip((layout.flatten(after) - layout.flatten(model))[None], TASK.update_clip)[0])


def test_by_hand_every_buffer_of_a_run() -> None:
    fleet, book = crowd(MANY), MemoryBook()
    totals = Totals(fleet)
    strategy = buffered(fleet, book, totals)
    models = rounds(strategy, parameters(), range(1, 7))
    layout, seen = layout_of(models[0]), set[int]()
    for number in range(1, 7):
        own = [(plan, nodes) for plan, nodes in totals.asked if plan.round == number]
        began = {plan.model_sha256: nodes for plan, nodes in own}
        assert sum(len(nodes) for nodes in began.values()) == BUFFER
        wanted = np.zeros(layout.size)
        for version in range(number):
            for node in began.get(digest(models[version]), ()):
                staleness = number - 1 - version
                seen.add(staleness)
                wanted += change_of(fleet, node, models[version], number) / np.sqrt(1 + staleness)
        moved = layout.flatten(models[number]) - layout.flatten(models[number - 1])
        assert np.abs(moved - RATE * wanted / BUFFER).max() < 1e-6
    assert len(seen) >= 3


def test_a_buffer_is_one_sum_of_all_its_devices_in_the_ledger() -> None:
    fleet, book = crowd(MANY), MemoryBook()
    rounds(buffered(fleet, book, Totals(fleet)), parameters(), range(1, 4))
    assert book.told == ["reserve", "settle"] * 3
    for _, plan in book.events:
        assert (plan.cohort, plan.minimum, plan.cohorts) == (BUFFER, BUFFER, 1)
    assert [settled.devices for settled in book.settled] == [BUFFER] * 3


def test_noise_is_a_buffers_whatever_its_devices_began_from_and_no_row_is_longer() -> None:
    fleet, book = crowd(MANY), MemoryBook()
    totals = Totals(fleet)
    protection = Protection(**NOISY)
    models = rounds(buffered(fleet, book, totals, protection), parameters(), range(1, 7))
    assert len({plan.norm for plan, _ in totals.asked}) >= 3
    for event, plan in book.events:
        if event == "settle":
            continue
        assert plan.noise is not None
        assert not plan.noise.removal
        own = [(each, nodes) for each, nodes in totals.asked if each.round == plan.round]
        assert {each.noise for each, _ in own} == {plan.noise}
        assert all(each.norm <= plan.norm and each.cohort == plan.cohort for each, _ in own)
        spread = np.concatenate([totals.noise(each, node) for each, nodes in own for node in nodes])
        honest = plan.noise.variance / (BUFFER - plan.corrupt)  # each device's share
        assert float(spread.var()) == pytest.approx(honest, rel=0.2)
    assert np.isfinite(layout_of(models[-1]).flatten(models[-1])).all()


def test_a_stale_plan_is_one_that_devices_answer() -> None:
    fleet = crowd(MANY)
    asked = asking(protection=Protection(**NOISY)).question(fleet.grid, 3, TASK, parameters(), [2, 3])
    plan, older = asked.exchanges[0].plan, parameters(seed=9)
    own = stale(plan, older, 3, MODEL)
    assert own.norm == plan.norm // 2
    assert weight(3) == 0.5
    device = fleet.devices[2]
    vector = answer(own, older, device, coins_of(device, own))
    assert 0 < float(np.linalg.norm(vector)) <= own.norm + np.sqrt(own.length)


def test_what_is_under_way_is_part_of_a_checkpoint() -> None:
    fleet = crowd(MANY)
    whole = rounds(buffered(fleet, MemoryBook(), Totals(fleet)), parameters(), range(1, 6))
    first, second = (buffered(fleet, MemoryBook(), Totals(fleet)) for _ in range(2))
    parts = rounds(first, parameters(), range(1, 4))
    second.restore(first.saved())
    second._grid.clockwork.hours = first._grid.clockwork.hours
    parts += rounds(second, parts[-1], range(4, 6))[1:]
    assert [digest(model) for model in parts] == [digest(model) for model in whole]


def file_of(strategy: dict[str, Any] | None = None, **tables: dict[str, Any]) -> SimulationFile:
    plain: dict[str, Any] = {
        "name": "buffered",
        "model": {"name": "digits"},
        "data": {"source": "digits", "partition": "iid", "devices": 40},
        "federation": {
            "rounds": 30,
            "devices_per_round": 10,
            "minimum_devices": 6,
            "validate_every": 5,
            "weighting": "devices",
            "standardise": False,
            "round_timeout": 600.0,
        },
        "privacy": {"masks": "elided", "noise": False},
        "training": {"epochs": 2, "momentum": 0.9},
        "strategy": {"name": "fedbuff", "buffer": 10, "concurrency": 15} | (strategy or {}),
        "availability": {
            "tiers": [{"name": "pi-zero-2w"}],
            "law": "pareto",
            "spread": 1.1,
            "jitter": 0.3,
            "dropouts": 0.02,
        },
    }
    for name, table in tables.items():
        plain[name] = {**plain.get(name, {}), **table} if table else {}
    return convert(plain, SimulationFile, "buffered.toml")


class Silent:
    """A display that may stop the run."""

    def __init__(self, stop_after: int = 0) -> None:
        self.stop_after = stop_after

    def stage(self, name: str) -> None:
        """Nothing."""

    def step(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""

    def round_ended(self, ended: Any) -> None:
        """Perhaps stop."""
        if ended.round == self.stop_after:
            raise KeyboardInterrupt


def run(file: SimulationFile, path: Path, stop_after: int = 0) -> list[dict[str, Any]]:
    """Its rows, to its end or a stop."""
    begun = (path / "run.json").exists()
    folder = RunFolder.open(path) if begun else RunFolder.create(path, msgspec.to_builtins(file))
    try:
        simulate(read(file), folder, Silent(stop_after), stages="training")
    except KeyboardInterrupt:
        assert stop_after
    return [{key: row[key] for key in row if key != "seconds"} for row in folder.rows()]


def hours_to(rows: list[dict[str, Any]], wanted: float) -> float:
    return float(next(row["hours"] for row in rows if (row["accuracy"] or 0) >= wanted))


def test_it_learns_digits_with_a_heavy_tailed_fleet_in_fewer_hours_than_rounds_do(tmp_path: Path) -> None:
    steady = {"dropouts": 0.0}  # else a validation that somebody drops out of lasts until the timeout
    rows = run(file_of(availability=steady), tmp_path / "buffers")
    assert max(row["accuracy"] or 0 for row in rows) > 0.85
    assert max(row["staleness"] for row in rows) > 0.5
    waits = run(file_of({"name": "fedavg"}, availability=steady), tmp_path / "rounds")
    assert hours_to(waits, 0.8) > 3 * hours_to(rows, 0.8)


def test_a_run_that_was_stopped_comes_to_the_same(tmp_path: Path) -> None:
    file = file_of(federation={"rounds": 8})
    whole = run(file, tmp_path / "whole")
    run(file, tmp_path / "parts", stop_after=6)
    assert run(file, tmp_path / "parts") == whole
    lines = usage.read(tmp_path / "whole" / usage.FILE)
    again = usage.read(tmp_path / "parts" / usage.FILE)
    assert [msgspec.structs.replace(line, sum=0) for line in lines] == [
        msgspec.structs.replace(line, sum=0) for line in again
    ]
    trained = [line for line in lines if line.kind == "train"]
    assert all(sum(line.answered) == 10 and len(set(line.nodes)) >= 10 for line in trained)
    assert any(not all(line.answered) for line in trained)  # somebody dropped out, and it cost them something


def test_with_a_target_each_buffer_is_spent(tmp_path: Path) -> None:
    private = {"masks": "elided", "noise": True, "epsilon": 50.0, "dropouts": 0.2}
    file = file_of(privacy=private, federation={"rounds": 4}, release={"int8": False})
    rows = run(file, tmp_path / "private")
    sums = [row for row in RunFolder(tmp_path / "private").sum_rows() if row["kind"] == "train"]
    reserved = [row for row in sums if row["event"] == "reserve"]
    assert len(rows) == len(reserved) == 4
    assert {(row["asked"], row["minimum"], row["noise"]["removal"]) for row in reserved} == {(10, 10, False)}
    assert len({row["noise"]["variance"] for row in reserved}) == 1


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"privacy": {"masks": True}}, "masks: devices of one buffer have trained from different models"),
        ({"federation": {"weighting": "examples"}}, "weighting: a buffer's sum is divided by its devices"),
        (
            {"privacy": {"noise": True, "noise_at": "server", "epsilon": 8.0}},
            "noise_at: no one says how often",
        ),
        ({"privacy": {"largest_cohort": 5}}, "buffer: a buffer of 10 devices is one sum, of 5 at most"),
        ({"availability": {}}, 'trace: strategy "fedbuff" goes by a virtual clock'),
        ({"availability": {"pause_minutes": 5.0}}, "pause_minutes: is about rounds of cohorts"),
        ({"data": {"devices": 8}, "federation": {"devices_per_round": 6}}, "buffer: 10 of 8 devices"),
    ],
)
def test_what_it_does_not_go_with_is_said(tables: dict[str, dict[str, Any]], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file_of(**tables))
    assert said in str(caught.value)


def test_an_engine_without_sums_at_once_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an engine that gives sums at once"):
        run(file_of(simulation={"engine": "serial"}), tmp_path / "run")


def test_it_is_no_strategy_for_a_fleet() -> None:
    plain = msgspec.to_builtins(file_of())
    fleet = {key: plain[key] for key in FederationFile.__struct_fields__ if plain.get(key) is not None}
    with pytest.raises(ConfigError, match="which only a simulation has"):
        algorithms.check_fleet(convert(fleet, FederationFile, "fleet.toml"))
