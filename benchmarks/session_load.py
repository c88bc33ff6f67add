"""The session service under many devices: seconds by stage, CPU and memory, over real TLS on loopback.

    PYTHONPATH=tests .venv/bin/python benchmarks/session_load.py --devices 200

The devices are synthetic: streams of their own with certificates of their own, which answer at once with as
many bytes as a real one would at that stage. What is timed is the service alone: what masks and proofs cost
is in `secagg.py`, a round of real agents in `fleet.py`. They are in processes of their own, so that the
server's CPU and memory are its own. The server is asked as a run asks it, over `SessionGrid`.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import psutil
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.supercore.run import Run

from covey.delivery import Answer, Delivery, Reply, Requested
from covey.session import PIECE
from covey_client.session_client import Credentials, SessionClient
from covey_server.session_grid import SessionGrid
from covey_server.session_server import SessionServer
from covey_server.sessions import Sessions, Stream
from covey_simulations.grid import InProcessGrid
from session_service import Authority, Certificates

MB = 2**20
NEIGHBOURS = 30
"""Of a device in a sum of two hundred on the sparse graph; each costs bytes at a stage."""

STAGES = ("advertise", "share", "masked", "consistency", "unmask")


def asked_bytes(stage: str, length: int) -> int:
    """What a device is sent: the model first, then adverts, boxes, names and shares of its neighbours."""
    each = {"share": 500, "masked": 155, "consistency": 80, "unmask": 80}
    return 4 * length if stage == "advertise" else NEIGHBOURS * each[stage]


def answer_bytes(stage: str, length: int) -> int:
    """What it says: its vector at 4 bytes an element, else something of each neighbour's."""
    each = {"advertise": 10, "share": 155, "consistency": 3, "unmask": 33}
    return 4 * length if stage == "masked" else NEIGHBOURS * each[stage]


def answering(length: int) -> Any:
    """A device that has all its answers ready."""
    ready = {stage: Reply(os.urandom(answer_bytes(stage, length))) for stage in STAGES}

    def answer(delivery: Delivery) -> Answer:
        return ready[delivery.stage if isinstance(delivery, Requested) else "advertise"]

    return answer


def attend(address: str, devices: Sequence[tuple[str, Credentials]], length: int, told: Connection) -> None:
    """In a process of its own, until it is told to stop."""
    answer = answering(length)
    told.send("ready")
    told.recv()
    with ExitStack() as stack:
        for _, shown in devices:
            client = SessionClient(address, shown, answer, lambda _: None)
            stack.callback(client.close)
        told.recv()
        used = resource.getrusage(resource.RUSAGE_SELF)
        told.send((used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))


class Clocked(Sessions):
    """Writes down when each question was answered."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.begun = 0.0
        self.seconds: list[float] = []

    def heard(self, stream: Stream, data: bytes) -> None:
        """See `Sessions`."""
        before = len(self._said)
        super().heard(stream, data)
        if len(self._said) != before:
            self.seconds.append(time.perf_counter() - self.begun)


def messages(stage: str, nodes: Iterable[int], length: int) -> list[Message]:
    """A stage, as a run sends it."""
    if stage == "advertise":
        model = ArrayRecord([np.zeros(length, np.float32)])
        content = RecordDict({"model": model, "envelope": ConfigRecord({"envelope": os.urandom(20_000)})})
        return [Message(content, node, "train.advertise") for node in nodes]
    data = os.urandom(asked_bytes(stage, length))
    request = ConfigRecord({"plan": "ab" * 32, "request": data})
    return [Message(RecordDict({"request": request}), node, f"train.{stage}") for node in nodes]


def main() -> None:
    """Print JSON lines."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--devices", type=int, default=200)
    options.add_argument("--length", type=int, default=10_000)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--sums", type=int, default=5)
    chosen = options.parse_args()
    authority, names = Authority(), [f"device-{index:03d}" for index in range(chosen.devices)]
    sessions = Clocked(lambda: frozenset(names))
    before = psutil.Process().memory_info().rss
    server = SessionServer(
        "127.0.0.1:0", Certificates(*authority.issued("localhost"), authority.pem), sessions
    )
    address = f"localhost:{server.port}"
    shown = [(name, Credentials(authority.pem, *authority.issued(name))) for name in names]
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for part in range(chosen.processes):
        mine, theirs = context.Pipe()
        of = shown[part :: chosen.processes]
        process = context.Process(target=attend, args=(address, of, chosen.length, theirs), daemon=True)
        process.start()
        pipes.append(mine)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    while len(sessions.attending()) < chosen.devices:
        time.sleep(0.05)
    says({"devices": chosen.devices, "length": chosen.length, "sums": chosen.sums, "cores": os.cpu_count()})
    says({"all_attend_after_seconds": round(time.perf_counter() - began, 2)})
    measure(chosen, sessions, before)
    clients = []
    for pipe in pipes:
        pipe.send("stop")
        clients.append(pipe.recv())
    for process in processes:
        process.join(timeout=60)
    server.close()
    says({"devices_cpu_seconds": round(sum(cpu for cpu, _ in clients), 2)})
    says({"devices_peak_mb": [round(peak) for _, peak in clients]})


def measure(chosen: argparse.Namespace, sessions: Clocked, before: int) -> None:
    """Sums, stage by stage."""
    InProcessGrid(lambda message, _: message, [2])  # type: ignore[arg-type] # names the run
    grid, process = SessionGrid(sessions, Run.create_empty(1)), psutil.Process()
    nodes = list(grid.get_node_ids())
    idle, cpu = process.memory_info().rss, sum(process.cpu_times()[:2])
    peak, whole = idle, dict[str, list[float]]()
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for _ in range(chosen.sums):
        for stage in STAGES:
            sent = messages(stage, nodes, chosen.length)
            sessions.begun, sessions.seconds = time.perf_counter(), []
            replies = list(grid.send_and_receive(sent, timeout=60))
            whole.setdefault(stage, []).append(time.perf_counter() - sessions.begun)
            if len(replies) != len(nodes):
                raise RuntimeError(f"{len(replies)} of {len(nodes)} answered")
            seconds[stage] += sessions.seconds
            peak = max(peak, process.memory_info().rss)
    used = sum(process.cpu_times()[:2]) - cpu
    for stage in STAGES:
        half, most = np.percentile(seconds[stage], [50, 95])
        says(
            {
                "stage": stage,
                "device_p50_seconds": round(float(half), 3),
                "device_p95_seconds": round(float(most), 3),
                "stage_seconds_median": round(float(np.median(whole[stage])), 3),
            }
        )
    says({"sum_seconds_median": round(float(np.median(np.sum(list(whole.values()), axis=0))), 3)})
    says({"server_cpu_seconds_per_sum": round(used / chosen.sums, 3), "threads": process.num_threads()})
    says(
        {
            "server_mb_before": round(before / MB, 1),
            "server_mb_with_streams": round(idle / MB, 1),
            "server_mb_peak": round(peak / MB, 1),
            "pieces_of_mb": PIECE / MB,
        }
    )


def says(row: dict[str, Any]) -> None:
    """One JSON line."""
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
