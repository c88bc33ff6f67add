"""Sums in a run's ledger that nobody was asked for: for what is said of a run after it."""

from collections.abc import Iterable

import msgspec
import numpy as np

from covey import plan as plans
from covey.plan import Noise, Plan, Statistics, Task, Train, Validate
from covey_server.book import RunBook
from covey_server.ledgers import opened
from covey_server.run_folder import RunFolder
from covey_strategies.exchange import Settled
from covey_strategies.private_sum import Signed
from secagg_fleet import make_plan

TASKS: dict[str, Task] = {
    "train": Train(1, 16, 0.1, 0.0, 0.0, 0.0, "devices", 1, 1.0),
    "validate": Validate(1),
    "statistics": Statistics(1),
}
NOISE = Noise(mechanism="skellam", variance=1 << 20, removal=False, seeded=True)


def planned(serial: int, kind: str = "train", length: int = 100, noise: Noise | None = NOISE) -> Plan:
    """A sum over twenty devices, of which fourteen must answer; without masks, vectors are all there is."""
    plan = make_plan(20, length=length, minimum=14, noise=noise, serial=serial)
    bare = {"masks": "elided", "suite": None, "roster": None}
    return msgspec.structs.replace(plan, task=TASKS[kind], round=serial, **bare)


def write(folder: RunFolder, sums: Iterable[Plan], devices: int = 20) -> None:
    """Each was reserved and opened."""
    with opened(folder.ledger, None) as ledger:
        book = RunBook(folder.run, ledger, None)
        for each in sums:
            plan = msgspec.structs.replace(each, run=folder.run)
            book.reserve([Signed(plans.to_bytes(plan), None)])
            total = np.zeros(plan.length, np.int64)
            book.settle(plan, Settled(total, devices, 20, 20, 0, None))
