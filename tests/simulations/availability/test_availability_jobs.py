"""Devices that train side by side: who arrives, when, and how often."""

import numpy as np
import pytest

from covey.errors import TooFewDevices
from covey_simulations.availability.clockwork import Clockwork, Rules
from covey_simulations.availability.hardware import Hardware
from covey_simulations.availability.jobs import Job, Jobs
from covey_simulations.availability.model import Modelled
from covey_simulations.availability.tiers import TIERS
from covey_simulations.availability.traces import HOUR, Always, recorded
from covey_simulations.availability.usage import Usage
from covey_simulations.availability.work import Trace, Work

FLEET = range(2, 32)


def jobs(
    concurrency: int, *, trace: Trace | None = None, dropouts: float = 0.0, timeout: float = 1e6
) -> Jobs:
    hardware = Hardware(3, [TIERS["pi4"]], [1.0], law="pareto", spread=1.1, jitter=0.3, dropouts=dropouts)
    clockwork = Clockwork(
        rules=Rules(3, 0.0, 2, timeout),
        availability=Modelled(trace or Always(), hardware),
        weigh=lambda *_: Work(0, 0, 0),
        usage=Usage(),
    )
    return Jobs(clockwork, FLEET, concurrency, lambda _: Work(1e10, 1e4, 1e4))


def test_a_buffer_is_the_first_to_arrive_and_the_others_go_on() -> None:
    some = jobs(6)
    arrived, lost = some.arrivals(3, 0)
    assert not lost
    assert [job.ends for job in arrived] == sorted(job.ends for job in arrived)
    assert some.clockwork.hours == arrived[-1].ends
    assert len(some.open) == 5  # the last to arrive is replaced by whoever fetches the next model
    assert all(job.ends >= arrived[-1].ends for job in some.open)
    again, _ = some.arrivals(3, 1)
    assert {job.version for job in (*again, *some.open)} == {0, 1}


def test_so_many_train_at_a_time_and_each_is_in_a_buffer_once() -> None:
    some, staleness = jobs(8), list[int]()
    for version in range(20):
        arrived, _ = some.arrivals(5, version)
        nodes = [job.node for job in arrived]
        assert len(set(nodes)) == 5
        assert not set(nodes) & {job.node for job in some.open}
        assert len(some.open) == 7
        staleness += [version - job.version for job in arrived]
    assert min(staleness) == 0
    assert max(staleness) >= 3  # a heavy tail is late


def test_a_buffer_may_need_the_whole_fleet() -> None:
    arrived, _ = jobs(6).arrivals(len(FLEET), 0)
    assert sorted(job.node for job in arrived) == list(FLEET)


def test_who_drops_out_or_is_too_late_is_replaced() -> None:
    some = jobs(6, dropouts=0.3)
    arrived, lost = some.arrivals(10, 0)
    assert lost
    assert {job.finished for job in arrived} == {1}
    assert {job.finished for job in lost} == {0}
    impatient = jobs(6, timeout=10.0)
    arrived, lost = impatient.arrivals(10, 0)
    assert lost
    assert all(job.ends * HOUR <= impatient.clockwork.hours * HOUR for job in lost)


def test_a_device_is_not_asked_while_it_is_offline() -> None:
    some = jobs(4, trace=recorded({2: [(0.0, 1e9)], 3: [(0.0, 1e9)], 4: [(5 * HOUR, 1e9)]}))
    told: list[str] = []
    some.clockwork.tell = told.append
    arrived, _ = some.arrivals(3, 0)
    assert [job.node for job in arrived][-1] == 4
    assert some.clockwork.hours > 5
    assert any(line.startswith("waited") and "had 2 of 3" in line for line in told)


def test_a_buffer_that_nobody_fills_is_given_up_after_a_week() -> None:
    with pytest.raises(TooFewDevices, match="1 answers are in a buffer of 2, and no other device"):
        jobs(4, trace=recorded({2: [(0.0, 1e9)]})).arrivals(2, 0)


def test_what_is_under_way_is_saved_as_numbers() -> None:
    one, other = jobs(6, dropouts=0.1), jobs(6, dropouts=0.1)
    one.arrivals(4, 0)
    other.restore(one.saved())
    other.clockwork.hours = one.clockwork.hours
    assert other.open == one.open
    assert all(isinstance(job, Job) for job in other.open)
    assert one.arrivals(4, 1) == other.arrivals(4, 1)
    assert one.saved().dtype == np.float64
