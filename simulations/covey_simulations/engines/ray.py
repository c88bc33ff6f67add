"""Sums worked out by Flower's simulation runtime, on this machine or on a Ray cluster.

Each virtual SuperNode works out one share of a cohort, so that there are as many messages as workers and not
as many as devices: Flower's runtime looks through all stored messages for each. The devices go to the cluster
once, into Ray's object store; what a message carries is a plan, its parameters and node ids one way and a
vector of integers the other.

    this process                      Flower's runtime               Ray
    total() -> messages to nodes  ->  one message a SuperNode    ->  an actor: Summing.total of its share
"""

import importlib.util
import logging
import os
import queue
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from covey import plan as plans
from covey.arrays import Parameters
from covey.encode import Integers
from covey.errors import CoveyError, InputError, StateError
from covey.plan import Plan
from covey_simulations.engines.allocation import keep_freed_memory
from covey_simulations.engines.processes import share_out
from covey_simulations.engines.summing import Summing
from covey_strategies.wire import from_record, to_record

ASKED: Final = "asked"
MODEL: Final = "model"
TOTAL: Final = "total"
REFUSED: Final = "refused"
START_SECONDS: Final = 120.0
_POLL: Final = 0.002
_CONNECT_SECONDS: Final = 5.0
_NO_TIP: Final = ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
"""Else Ray tells everybody of a change to accelerators."""
_OWN: Final = re.compile(r"covey_[a-z]+_of_")
"""Names of modules that `covey_models.registry.executed` has made of a person's files."""
GONE: Final = "bring it up again and go on: covey simulate --resume RUN; finished rounds stand"


class RayTotals:
    """Works out sums over a Flower grid whose SuperNodes run `client_app`.

    Args:
        grid: Of the runtime.
        alive: Whether the runtime still runs.
    """

    def __init__(self, grid: Grid, alive: threading.Thread) -> None:
        self._grid = grid
        self._alive = alive

    @property
    def run_id(self) -> int:
        """Of Flower's run: one at a time a process, so that all messages in it are of this one."""
        return self._grid.run.run_id

    def total(self, plan: Plan, parameters: Parameters, nodes: Sequence[int], dropped: int) -> Integers:
        """See `covey_simulations.engines.summing.Summing`.

        Raises:
            StateError: The cluster or a worker is gone.
        """
        workers = sorted(self._grid.get_node_ids())
        if not workers:
            raise StateError("the Ray cluster is gone", hint=GONE)
        shares = share_out(nodes, len(workers))
        model, sent = to_record(parameters), plans.to_bytes(plan)
        messages = [
            Message(RecordDict({ASKED: _asked(sent, share, dropped), MODEL: model}), worker, "query")
            for worker, share in zip(workers, shares, strict=False)
        ]
        total = np.zeros(plan.length, np.int64)
        for reply in self._replies(messages):
            total += _read(reply, plan.length)
        return total

    def _replies(self, messages: Sequence[Message]) -> Iterator[Message]:
        open_ids = set(self._grid.push_messages(messages))
        while open_ids:
            for reply in self._grid.pull_messages(list(open_ids)):
                open_ids.discard(reply.metadata.reply_to_message_id)
                yield reply
            if open_ids and not self._alive.is_alive():
                raise StateError("the Ray cluster is gone", hint=GONE)
            time.sleep(_POLL)


def _asked(plan: bytes, nodes: Sequence[int], dropped: int) -> ConfigRecord:
    return ConfigRecord({"plan": plan, "nodes": list(nodes), "dropped": dropped})


def _read(reply: Message, length: int) -> Integers:
    if reply.has_error():
        reason = " ".join((reply.error.reason or "no reason given").split())[:300]
        raise StateError(f"a worker of the Ray cluster failed: {reason}", hint=GONE)
    record = reply.content.config_records[TOTAL]
    data = record.get(TOTAL)
    if not isinstance(data, bytes):
        raise StateError(f"a worker of the Ray cluster: {record.get(REFUSED)!s}")
    return np.frombuffer(data, "<i8", count=length)


@contextmanager
def started(summing: Summing, workers: int, address: str) -> Iterator[RayTotals]:
    """Flower's simulation runtime, while the block lasts.

    Args:
        summing: Goes to every worker.
        workers: Virtual SuperNodes; 0 for one a processor that Ray has.
        address: Of a cluster; empty to start Ray on this machine.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
        StateError: The runtime does not start.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError("the engine ray needs Ray", hint="pip install 'covey[ray]'")
    os.environ.setdefault(*_NO_TIP)
    import ray  # noqa: PLC0415 - optional, and heavy

    _connect(ray, workers, address)
    try:
        count = workers or int(ray.cluster_resources()["CPU"])  # type: ignore[no-untyped-call]
        _take_along(ray.cloudpickle)
        with _runtime(client_app(ray.put(summing)), count) as totals:
            yield totals
    finally:
        ray.shutdown()


def _connect(ray: Any, workers: int, address: str) -> None:
    path = os.pathsep.join(each for each in sys.path if each)
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    environment = {"env_vars": {"PYTHONPATH": path}}
    try:
        if address:
            _check_reachable(address)
            ray.init(address=address, runtime_env=environment, **quiet)
        else:
            ray.init(num_cpus=workers or None, include_dashboard=False, runtime_env=environment, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"no Ray cluster at {address}" if address else "Ray does not start"
        raise InputError(f"{where}: {error}", hint="check simulation.ray_address; ray status") from error


def _check_reachable(address: str) -> None:
    """Ask for a connection first: Ray itself tries for minutes.

    Raises:
        OSError: There is none.
        ValueError: Not HOST:PORT.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()


def _take_along(cloudpickle: Any) -> None:
    """A person's own modules, loaded from files, go with what is made of them: no worker can import them."""
    for name, module in list(sys.modules.items()):
        if _OWN.match(name):
            cloudpickle.register_pickle_by_value(module)


@contextmanager
def _runtime(app: ClientApp, nodes: int) -> Iterator[RayTotals]:
    """Flower's runtime in a thread of its own; its ServerApp hands its grid out and waits."""
    from flwr.simulation import run_simulation  # noqa: PLC0415 - imports Ray

    grids = queue.Queue[Grid]()
    over = threading.Event()
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        del context
        grids.put(grid)
        over.wait()

    def run() -> None:
        run_simulation(server, app, nodes, backend_config={"client_resources": {"num_cpus": 1}})

    logging.getLogger("flwr").setLevel(logging.CRITICAL)  # what goes wrong is said by `total`
    thread = threading.Thread(target=run, daemon=True, name="flower-simulation")
    thread.start()
    try:
        grid = grids.get(timeout=START_SECONDS)
        deadline = time.monotonic() + START_SECONDS
        while len(list(grid.get_node_ids())) < nodes:
            if time.monotonic() > deadline or not thread.is_alive():
                raise StateError("Flower's simulation runtime does not start", hint="see the log of Ray")
            time.sleep(_POLL)
        yield RayTotals(grid, thread)
    finally:
        over.set()
        thread.join(timeout=10)


def client_app(reference: Any) -> ClientApp:
    """What a virtual SuperNode runs.

    Args:
        reference: Of the `Summing` in Ray's object store.
    """
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        del context
        asked = message.content.config_records[ASKED]
        plan = plans.from_bytes(asked["plan"])  # type: ignore[arg-type]
        parameters = from_record(message.content.array_records[MODEL])
        nodes: Sequence[int] = asked["nodes"]  # type: ignore[assignment]
        try:
            total = _held(reference).total(plan, parameters, nodes, int(asked["dropped"]))  # type: ignore[arg-type]
            found = ConfigRecord({TOTAL: total.astype("<i8").tobytes()})
        except CoveyError as error:
            found = ConfigRecord({REFUSED: error.message})
        return Message(RecordDict({TOTAL: found}), reply_to=message)

    return app


_HELD: dict[str, Summing] = {}
"""In an actor's process: the devices, once."""


def _held(reference: Any) -> Summing:
    import ray  # noqa: PLC0415 - in an actor it is there

    key = reference.hex()
    if key not in _HELD:
        torch.set_num_threads(1)
        keep_freed_memory()
        _HELD[key] = ray.get(reference)
    return _HELD[key]
