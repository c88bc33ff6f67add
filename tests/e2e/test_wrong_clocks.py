"""Devices whose clock is wrong by a day, among others whose clocks are right; over the network.

A day is what certificates, roster and policy bear here: such a device takes part, by the time that witnesses
say if that is later, and spends nothing twice.
"""

import re

import pytest

from fleet_world import DEVICES, check, doctors, world

CLOCKS = {"early": "-1d", "late": "+1d"}

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def test_a_clock_that_is_wrong_by_a_day_harms_nobody_and_spends_nothing_twice() -> None:
    with world(devices=DEVICES + len(CLOCKS), others=list(CLOCKS), clocks=CLOCKS, timeout=90) as made:
        wrong = {host: made.fleet.device(DEVICES + place) for place, host in enumerate(CLOCKS)}
        for host, device in wrong.items():
            made.place(device, host)
        made.start(list(wrong.values()))
        made.serve()
        made.until(lambda: made.count("round.settle") == 2, 240)
        said = doctors(made, wrong["early"], "early")
        assert re.search(r"FAIL  clock +.* is behind what the ledger's witnesses said", said), said
        assert made.ends(300) == 0, made.log[-3000:]
        check(made, 4)
        for device in wrong.values():
            assert 1 <= len(device.budget.reserved) <= 4
