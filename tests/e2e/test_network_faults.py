"""A federation over a real network that is slow, loses, is cut and heals; and a server that is killed.

Hosts are network namespaces: the server, and two sites with six devices each. Every device is an agent of its
own that attends over mutual TLS; the server is the ServerApp's own code, with policy, witness and ledger.
"""

import signal

import pytest

from fleet_world import DEVICES, World, check, reserved, status, world
from pilot_server import MOMENTS

LEAST = 9
"""Devices that a sum of this world has at least."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def test_a_slow_and_lossy_network_only_takes_longer() -> None:
    """200 ms each way, 2 % lost, 1 Mbit/s to each site."""
    with world() as made:
        for site in ("east", "west"):
            made.network.slow(site, milliseconds=200, loss=2, rate=1_000_000)
        made.serve()
        assert made.ends(280) == 0, made.log[-3000:]
        check(made, 4)


def test_half_the_fleet_is_cut_off_in_a_round_and_comes_back() -> None:
    """Six of twelve are too few: the round is aborted and stays spent; healed, the run is gone on with."""
    with world() as made:
        made.serve()
        made.until(lambda: made.count("round.reserve") == 1)
        made.network.cut("east")
        assert made.ends(200) != 0
        assert made.count("round.settle") == 0
        made.network.heal("east")
        made.until(lambda: all(status(each).does == "waits" for each in made.fleet.devices.values()))
        made.serve()
        assert made.ends(200) == 0, made.log[-3000:]
        check(made, 4)


def test_a_server_that_is_killed_at_each_stage_leaves_nothing_half_done() -> None:
    """One after the other, in the same round: nothing is opened, and what may have left a device is spent."""
    with world(spare=len(MOMENTS)) as made:
        for number, moment in enumerate(MOMENTS, start=1):
            made.serve(moment)
            assert made.ends(120) == -signal.SIGKILL, (moment, made.log[-3000:])
            assert made.count("round.reserve") == number, moment
            assert made.count("round.settle") == 0, moment
        made.serve()
        assert made.ends(250) == 0, made.log[-3000:]
        check(made, 4)
        spent = spenders(made)[: len(MOMENTS)]
        assert spent[0] == 0  # no device had heard of it
        assert (
            max(spent[1:3]) <= DEVICES - LEAST
        )  # no vector had left: given back, by all who were asked again
        assert min(spent[3:]) >= LEAST


def spenders(made: World) -> list[int]:
    """Of each plan in the ledger: so many devices count it as spent."""
    spent = [
        {(each.asked.run, each.asked.sum) for each in device.budget.reserved.values()}
        for device in made.fleet.devices.values()
    ]
    return [sum((plan.run, plan.sum) in each for each in spent) for plan in reserved(made)]


@pytest.mark.parametrize("after", [1, 2])
def test_a_server_that_is_killed_is_gone_on_with_by_the_next_one(after: int) -> None:
    """In a round, and between two: agents come back by themselves."""
    with world() as made:
        made.serve()
        made.until(lambda: made.count("round.reserve") == after)
        made.kill()
        settled = made.count("round.settle")
        made.serve()
        assert made.ends(250) == 0, made.log[-3000:]
        check(made, 4 + settled)  # of the round that had not ended everything is asked again, and stays spent
