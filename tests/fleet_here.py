"""A fleet's server and devices in this process, without a SuperLink between them.

What is asked, answered and written is what a fleet would: the operator's ServerApp, devices with keys of
their own that answer under the signed policy alone, one ledger with its witness.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from flwr.app import Context, RecordDict
from sklearn.datasets import load_digits

from covey.errors import CoveyError
from covey.examples import Examples, LocalData
from covey_client.budget import FileJournal
from covey_client.claims import FileClaims
from covey_client.in_process import InProcess
from covey_client.participant import Participant
from covey_client.seeds import SystemSeeds
from covey_client.simulated import simulated_app
from covey_client.update_outcome import read_outcome
from covey_io.device_keys import read_keys
from covey_models.zoo.digits import MODEL
from covey_server import app, server_file
from covey_server.orders import Order, Orders, Progress
from covey_server.server_file import ServerFile
from covey_simulations.grid import SERVER, InProcessGrid
from covey_strategies.queries.device import Device

LOOK_SECONDS = 0.1


@contextmanager
def fleet_here(server: Path, devices: Path) -> Iterator[None]:
    """Do what is ordered, as `covey serve` would.

    Args:
        server: The server's configuration; it need not be there before somebody orders something.
        devices: A folder with the state of each device, as `covey fleet init FOLDER NAME…` makes it.
    """
    over = threading.Event()
    participants = dict(enumerate(map(_participant, _dealt(devices)), start=SERVER + 1))

    def grid() -> InProcessGrid:
        return InProcessGrid(simulated_app(lambda context: participants[context.node_id]), participants)

    def serve() -> None:
        while not over.wait(LOOK_SECONDS):
            if server.exists():
                _serve_once(server_file.read(server), grid)

    thread = threading.Thread(target=serve, name="fleet here")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _serve_once(file: ServerFile, grid: Callable[[], InProcessGrid]) -> None:
    for order in Orders(file.folder.orders).all():
        if not order.is_over:
            _run(file, order, grid())


def _run(file: ServerFile, order: Order, grid: InProcessGrid) -> None:
    orders = Orders(file.folder.orders)
    order = orders.write(order, Progress(state="running", starts=1))
    config: dict[str, bool | float | int | str] = {
        "federation": str(order.federation),
        "runs": str(file.folder.runs),
        "operator": file.operator,
    }
    try:
        app.federate(grid, Context(1, 1, {}, RecordDict(), config))
    except CoveyError as error:
        orders.write(order, Progress(state="failed", starts=1, reason=str(error)))
    else:
        orders.write(order, Progress(state="finished", starts=1))


def _dealt(devices: Path) -> list[tuple[Path, LocalData]]:
    """Digits that people wrote: the devices of a folder, each with its own."""
    found, digits = sorted(devices.iterdir()), load_digits()
    x, y = (digits.images[:, None] / 16).astype(np.float32), digits.target.astype(np.int64)

    def share(place: int) -> Examples:
        return Examples(x[place :: 2 * len(found)], y[place :: 2 * len(found)])

    return [(each, LocalData(share(2 * n), share(2 * n + 1))) for n, each in enumerate(found)]


def _participant(dealt: tuple[Path, LocalData]) -> Participant:
    state, data = dealt
    lines: list[str] = []
    device = Device(state.name, MODEL, data, 0, lines.append, outcome=partial(read_outcome, state))
    return Participant(
        trainer=InProcess(device),
        log=lines.append,
        seeds=SystemSeeds(),
        claims=FileClaims(state / "claims.json"),
        journal=FileJournal(state / "budget.jsonl"),
        keys=read_keys(state),
        unprotected=False,
    )
