"""A masked round of real agents over the session service on loopback: seconds by stage, bytes, memory.

    PYTHONPATH=tests .venv/bin/python benchmarks/fleet.py --agents 20

Each agent is a process of its own, with its own keys, budget and training child; the server's code is that of
`flwr run`, with a signed policy, a witness and a ledger. Each holds sixteen random inputs, so that training
takes next to nothing, and what is timed is everything else. `advertise` has the start of a training child in
it, which imports torch: on a fleet that is one process a device, here as many at once on a few cores.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Message

from covey.delivery import to_bytes
from covey_client.status import ask
from covey_models.model import Model
from covey_models.registry import find
from covey_server import app
from covey_server.by_sessions import run_by_sessions
from covey_server.session_grid import SessionGrid
from covey_server.sessions import Sessions, Stream
from covey_strategies.wire import read, read_reply
from pilot import Pilot, pilot

FEDERATION = """
name = "pilot"
[model]
name = "{model}"
[federation]
rounds = {rounds}
minimum_devices = {minimum}
validate_every = {rounds}
standardise = false
examples_cap = 16
update_clip = 1.0
round_timeout = 300.0
[privacy]
train_multiplier = 0.3
validate_multiplier = 0.3
calibrate_multiplier = 0.3
[training]
learning_rate = 0.1
"""

MOMENTS = ("idle", "after", "peak")


class Counted(Sessions):
    """Counts bytes of what is asked and said."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.down: Counter[str] = Counter()
        self.up: Counter[str] = Counter()
        made.append(self)

    def ask(self, device: str, asked: bytes) -> bytes:
        """See `Sessions`."""
        self.down[device] += len(asked)
        return super().ask(device, asked)

    def heard(self, stream: Stream, data: bytes) -> None:
        """See `Sessions`."""
        self.up[stream.device] += len(data)
        super().heard(stream, data)


class Timed(SessionGrid):
    """Times each stage."""

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """See `SessionGrid`."""
        sent = list(messages)
        began = time.perf_counter()
        replies = list(super().send_and_receive(sent, timeout=timeout))
        if sent:
            seconds = time.perf_counter() - began
            category, _, stage = sent[0].metadata.message_type.partition(".")
            up = sum(len(read_reply(each)) for each in replies) // max(len(replies), 1)
            row = {"category": category, "stage": stage, "seconds": seconds, "up_bytes": up}
            stages.append(row | {"down_bytes": sum(len(to_bytes(read(each))) for each in sent) // len(sent)})
        return replies


made: list[Counted] = []
stages: list[dict[str, Any]] = []


def save_noise(path: Path, model: Model) -> None:
    """Sixteen inputs that mean nothing."""
    rng = np.random.default_rng(0)
    x = rng.random((16, *model.input_shape), dtype=np.float32)
    np.savez(path, x=x, y=rng.integers(0, model.classes, 16))


def memory(fleet: Pilot, line: str = "VmRSS") -> list[float]:
    """Resident memory of each agent now, or at its peak ("VmHWM"), MB."""
    pids = [each.process.pid for each in fleet.devices.values() if each.process]
    found = [Path(f"/proc/{pid}/status").read_text().partition(f"{line}:")[2].split()[0] for pid in pids]
    return [int(kilobytes) / 1024 for kilobytes in found]


def main() -> None:
    """Print JSON lines."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--agents", type=int, default=20)
    options.add_argument("--model", default="image-cnn")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--port", type=int, default=19482)
    chosen = options.parse_args()
    app.Sessions, app.SessionGrid = Counted, Timed  # type: ignore[misc]
    federation = FEDERATION.format(model=chosen.model, rounds=chosen.rounds, minimum=int(0.7 * chosen.agents))
    with tempfile.TemporaryDirectory() as place, pilot(Path(place), chosen.agents, federation) as fleet:
        for each in fleet.devices.values():
            each.configure(tables=f'[session]\nserver = "localhost:{chosen.port}"')
            text = each.config.read_text().replace('name = "digits"', f'name = "{chosen.model}"')
            each.config.write_text(text)
            save_noise(fleet.folder / f"{each.name}.npz", find(chosen.model))
        fleet.start()
        time.sleep(2)
        idle = memory(fleet)
        place_of = (fleet.folder / name for name in ("federation.toml", "runs", "keys/operator"))
        run_by_sessions(*place_of, f"127.0.0.1:{chosen.port}")
        after, peak = memory(fleet), memory(fleet, "VmHWM")
        statuses = [ask(each.folder / f"{each.name}.own") for each in fleet.devices.values()]
        report(chosen, sum(each.refused for each in statuses))
    says(
        {
            f"agent_{name}_mb_max": round(max(of), 1)
            for name, of in zip(MOMENTS, (idle, after, peak), strict=True)
        }
    )


def report(chosen: argparse.Namespace, refused: int) -> None:
    """What was measured of the messages; see `least` for the bytes to compare with."""
    says({"agents": chosen.agents, "model": chosen.model, "cores": os.cpu_count(), "refused": refused})
    for category in ("train", "evaluate"):
        names = list(dict.fromkeys(each["stage"] for each in stages if each["category"] == category))
        for name in names:
            found = [each for each in stages if (each["category"], each["stage"]) == (category, name)]
            seconds = sorted(round(each["seconds"], 3) for each in found)
            row = {"query": category, "stage": name, "seconds": seconds}
            says(row | {way: found[-1][way] for way in ("up_bytes", "down_bytes")})
        later = [each for each in stages if each["category"] == category and each["stage"] != "advertise"]
        sums = max(sum(each["stage"] == "unmask" for each in later), 1)
        total = sum(each["seconds"] for each in later) / sums
        says({"query": category, "seconds_per_session_after_training": round(total, 3), "sessions": sums})
    says({"train_up_bytes_least": least(find(chosen.model))})
    (sessions,) = made
    devices = len(sessions.up) or 1
    says({"up_bytes_per_device": sum(sessions.up.values()) // devices})
    says({"down_bytes_per_device": sum(sessions.down.values()) // devices})


def least(model: Model) -> int:
    """What a device must send for a sum at 32 bits a number: model, loss and weight, and two public keys."""
    return 4 * (sum(weight.numel() for weight in model.build().parameters()) + 2) + 2 * 32


def says(row: dict[str, Any]) -> None:
    """One JSON line."""
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
