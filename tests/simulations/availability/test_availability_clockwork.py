"""A run's clock: who is asked, who is lost, what is counted."""

from collections.abc import Sequence

import numpy as np
import pytest
from flwr.serverapp import Grid

from covey.arrays import Parameters
from covey.encode import Integers
from covey.errors import TooFewDevices
from covey.plan import Plan
from covey_models.zoo.digits import MODEL
from covey_simulations.availability.clockwork import LOOKED_AT, Clockwork, Rules
from covey_simulations.availability.flops import Weigher
from covey_simulations.availability.grid import AvailableGrid, AvailableSums, available
from covey_simulations.availability.hardware import Hardware
from covey_simulations.availability.model import Modelled
from covey_simulations.availability.tiers import ROUND_TRIP, TIERS
from covey_simulations.availability.traces import HOUR, Always, Diurnal, recorded
from covey_simulations.availability.usage import Usage
from covey_simulations.availability.work import Trace
from covey_simulations.data.devices import Sizes
from covey_simulations.engines.grid import EngineGrid
from covey_strategies.asking import Asking
from covey_strategies.exchange import SumsAtOnce
from covey_strategies.private_sum import PrivateSum
from covey_strategies.protection import Protection
from covey_strategies.queries.answer import answer
from digits_fleet import NOISY, TRAIN, Flock, app_of, asking, coins_of, crowd, masked, parameters

MANY = 24
TIMEOUT = 300.0


def clock(
    trace: Trace | None = None,
    *,
    dropouts: float = 0.0,
    enough: int = 2,
    needed: float = 1.0,
    spread: float = 0.5,
) -> Clockwork:
    hardware = Hardware(1, [TIERS["pi4"]], [1.0], spread=spread, dropouts=dropouts)
    sizes = Sizes(np.full(MANY, 5), np.full(MANY, 5))
    return Clockwork(
        rules=Rules(1, 0.0, enough, TIMEOUT, needed),
        availability=Modelled(trace or Always(), hardware),
        weigh=Weigher(MODEL, sizes, 2).work,
        usage=Usage(),
    )


def summed(grid: Grid, asked: Asking, number: int = 1) -> PrivateSum:
    question = asked.question(grid, number, TRAIN, parameters(), asked.cohort(grid, number))
    return asked.collect(question, grid.send_and_receive(question.messages()))


class OneByOne:
    """Rows and noise of some devices of a flock, as they would answer."""

    def __init__(self, fleet: Flock) -> None:
        self.fleet = fleet
        self.asked: list[int] = []

    def total(self, plan: Plan, parameters: Parameters, nodes: Sequence[int], dropped: int) -> Integers:
        self.asked += nodes
        assert dropped == plan.cohort - len(nodes)
        assert plan.noise is None
        devices = [self.fleet.devices[node] for node in nodes]
        rows = [answer(plan, parameters, each, coins_of(each, plan)) for each in devices]
        return np.asarray(np.sum(rows, axis=0), np.int64)


def engine(fleet: Flock) -> tuple[EngineGrid, OneByOne]:
    totals = OneByOne(fleet)
    return EngineGrid(app_of(fleet.participants), sorted(fleet.devices), totals), totals


def test_a_grid_gives_sums_at_once_if_the_one_behind_it_does() -> None:
    fleet = crowd(MANY)
    assert not isinstance(available(fleet.grid, clock()), SumsAtOnce)
    assert isinstance(available(engine(fleet)[0], clock()), SumsAtOnce)


def test_messages_and_sums_at_once_lose_the_same_devices_and_give_the_same_sum() -> None:
    fleet = crowd(MANY)
    by_message, at_once = clock(dropouts=0.3), clock(dropouts=0.3)
    grid, totals = engine(fleet)
    first = summed(available(fleet.grid, by_message), asking())
    second = summed(available(grid, at_once), asking())
    assert 2 <= first.devices == second.devices < MANY
    assert np.array_equal(first.sums["update"], second.sums["update"])
    assert len(totals.asked) == second.devices  # whoever drops out is not worked out
    assert by_message.hours == at_once.hours > 0
    assert by_message.usage.by_node == at_once.usage.by_node


def test_a_sum_without_enough_answers_is_given_up_without_working_it_out() -> None:
    grid, totals = engine(crowd(MANY))
    with pytest.raises(TooFewDevices, match="devices answered, the minimum is 24"):
        summed(available(grid, clock(dropouts=0.3)), asking(minimum=MANY))
    assert not totals.asked


def test_with_a_drop_out_the_server_waits_for_its_timeout_and_with_enough_it_does_not() -> None:
    waits, goes_on = clock(dropouts=0.3), clock(dropouts=0.3, needed=0.5)
    for each in (waits, goes_on):
        summed(available(crowd(MANY).grid, each), asking())
    assert waits.hours == pytest.approx(TIMEOUT / HOUR, abs=1e-5)
    assert 0 < goes_on.hours < waits.hours / 10
    assert goes_on.columns()["answered"] == 12


def test_masked_sums_lose_devices_at_every_stage() -> None:
    fleet = crowd(MANY)
    clockwork = clock(dropouts=0.25)
    grid = available(fleet.grid, clockwork)
    found = summed(grid, asking(minimum=13, protection=masked(fleet)))
    plain = summed(available(fleet.grid, clock(dropouts=0.25)), asking())
    assert isinstance(grid, AvailableGrid)
    assert not isinstance(grid, AvailableSums)
    (begun,) = grid._begun.values()
    assert len(set(begun.lost.values())) >= 3
    assert 13 <= found.devices < MANY
    assert found.devices != plain.devices  # a device that is lost after it sent its vector is in the sum
    stages = 1 + len(set(begun.lost.values()))  # each in which somebody is lost lasts until the timeout
    assert clockwork.hours * HOUR == pytest.approx(stages * TIMEOUT, abs=5 * ROUND_TRIP)


def test_masked_and_noisy_it_is_the_sum_of_who_is_in_it() -> None:
    fleet = crowd(MANY)
    found = summed(
        available(fleet.grid, clock(dropouts=0.2, needed=0.75)),
        asking(minimum=13, protection=masked(fleet, **NOISY)),
    )
    noise = found.deviation("update") * np.sqrt(len(found.sums["update"]))
    assert np.linalg.norm(found.sums["update"]) < noise + 10.0 * found.devices


def test_cohorts_of_one_sum_run_side_by_side() -> None:
    fleet = crowd(MANY)
    divided, whole = clock(), clock()
    summed(available(fleet.grid, divided), asking(protection=Protection(largest=6)))
    summed(available(fleet.grid, whole), asking())
    assert divided.hours == whole.hours
    assert divided.columns()["answered"] == MANY


def test_only_those_are_there_who_are_online() -> None:
    night = Diurnal(3, 0.2, 0.6)
    grid = available(crowd(MANY).grid, clock(night))
    there = list(grid.get_node_ids())
    assert there == np.arange(2, 2 + MANY)[night.online(np.arange(2, 2 + MANY), 0.0)].tolist()
    assert 2 <= len(there) < MANY


def test_a_run_waits_until_enough_are_online_and_says_so() -> None:
    told: list[str] = []
    trace = recorded({2: [(0.0, 99 * HOUR)], 3: [(5.1 * HOUR, 99 * HOUR)]})
    clockwork = clock(trace)
    clockwork.tell = told.append
    grid = available(crowd(MANY).grid, clockwork)
    assert list(grid.get_node_ids()) == [2, 3]
    assert clockwork.hours == 5.25
    assert told == ["waited 5.25 simulated hours for 2 devices to be online: until then at most 1 were"]
    assert clockwork.columns()["waited"] == 5.25
    assert clockwork.columns()["waited"] == 0


def test_a_run_waits_a_week_at_most() -> None:
    grid = available(crowd(MANY).grid, clock(recorded({2: [(0.0, HOUR)]})))
    with pytest.raises(
        TooFewDevices, match="at most 1 of 24 devices were online at once in a simulated week"
    ):
        grid.get_node_ids()


def test_a_million_devices_cost_what_is_looked_at() -> None:
    looked: list[int] = []

    class Counting(Diurnal):
        def online(self, nodes: np.ndarray, at: object) -> np.ndarray:
            looked.append(len(nodes))
            return super().online(nodes, at)  # type: ignore[arg-type]

    clockwork = clock(Counting(1))
    found = clockwork.present(range(2, 1_000_002))
    assert looked == [LOOKED_AT]
    assert clockwork.online == pytest.approx(376_000, rel=0.05)
    assert len(found) == pytest.approx(0.376 * LOOKED_AT, rel=0.05)
    assert len(set(found)) == len(found)


def test_what_everyone_spent_is_counted_also_of_those_who_dropped_out() -> None:
    clockwork = clock(dropouts=0.3)
    summed(available(crowd(MANY).grid, clockwork), asking())
    spent = clockwork.usage.by_node
    assert len(spent) == MANY
    assert all(each.asked == 1 and each.joules > 0 for each in spent.values())
    gone = [each for each in spent.values() if not each.answered]
    assert 0 < len(gone) < MANY
    most = max(each.bytes for each in spent.values())
    assert all(each.bytes < most for each in gone)
