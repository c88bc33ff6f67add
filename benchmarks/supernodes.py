"""A whole masked run with SuperNodes, as on a fleet: seconds a round, Flower messages, memory of processes.

    PYTHONPATH=tests .venv/bin/python benchmarks/supernodes.py --agents 10

`covey serve` with SuperLink, its executor and a ServerApp; beside each agent a SuperNode. A device's first
question comes by its SuperNode, which starts a process for it that imports flwr; from then on its agent
attends the session service. So the first round has one Flower message a device in it, later ones none. All on
loopback and on this machine's cores: on a fleet each device has its own.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil

from flower_programs import free_port
from hosts import usage
from pilot import MASKED, Device, pilot
from serving_host import ServingHost, serving, supernode

MEGABYTE = 1 << 20
LONGEST = 900
"""Seconds that a run may take."""
PARTS = ("flower-superlink", "flower-superexec", "flwr-serverapp")


def tree(word: str, program: str) -> int:
    """Resident bytes of a program with that word in its command line, and of all that it started."""
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if any(word in each for each in line) and any(Path(each).name == program for each in line):
            return usage(process.pid).rss
    return 0


def memory(host: ServingHost, device: Device) -> dict[str, int]:
    """Resident bytes of each part, and of one device's."""
    named = {name: host.processes("superlink", name) for name in PARTS}
    found = {name: sum(psutil.Process(pid).memory_info().rss for pid in pids) for name, pids in named.items()}
    for name, process in (("covey serve", host.serving), ("agent", device.process)):
        found[name] = psutil.Process(process.pid).memory_info().rss if process else 0
    child = usage(device.process.pid).rss - found["agent"] if device.process else 0
    return found | {
        "training child": max(child, 0),
        "supernode with its children": tree(str(device.socket), "flower-supernode"),
    }


def says(row: Mapping[str, Any]) -> None:
    """One JSON line."""
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def run(host: ServingHost, device: Device) -> dict[str, int]:
    """Ask for the run, and wait for its end. Returns the most memory that was seen of each part."""
    host.covey("fleet", "run", str(host.folder / "federation.toml"), "--detach")
    peak: dict[str, int] = {}

    def looked() -> bool:
        with suppress(psutil.NoSuchProcess):
            found = memory(host, device)
            peak.update({name: max(found[name], peak.get(name, 0)) for name in found})
        return host.is_done()

    host.wait(looked, LONGEST)
    return peak


def main() -> None:
    """Print JSON lines."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--agents", type=int, default=10, help="Masks hide one among ten or more.")
    options.add_argument("--rounds", type=int, default=4)
    chosen = options.parse_args()
    federation = MASKED.format(rounds=chosen.rounds, minimum=chosen.agents, timeout=300.0)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        fleet = stack.enter_context(pilot(Path(place), chosen.agents, federation))
        sessions = free_port()
        host = stack.enter_context(serving(fleet.folder, fleet=True, sessions=sessions))
        devices = list(fleet.devices.values())
        for each in devices:
            each.configure(tables=f'[session]\nserver = "localhost:{sessions}"')
        fleet.start()
        host.wait(lambda: registered(host) == chosen.agents, LONGEST)  # one that may not connect yet ends
        for each in devices:
            stack.enter_context(supernode(host, each.name, each.state / "node.key", each.socket))
        host.wait(lambda: online(host) == chosen.agents, 300)
        idle, peak = memory(host, devices[0]), run(host, devices[0])
        says({"agents": chosen.agents, "cores": os.cpu_count(), "model": "digits"})
        for line in (host.state / "runs/pilot/metrics.jsonl").read_text().splitlines():
            row = json.loads(line)
            says({key: row[key] for key in ("round", "devices", "seconds")})
        logs = [(host.folder / f"flower-supernode@{each.name}.log").read_text() for each in devices]
        says({"flower_messages_per_device": [log.count("Receiving: ") for log in logs]})
        for name, bytes_ in idle.items():
            says({"part": name, "idle_mb": bytes_ // MEGABYTE, "peak_mb": peak[name] // MEGABYTE})


def online(host: ServingHost) -> int:
    """SuperNodes that are connected."""
    told = host.covey("fleet", "status", "--json")
    return int((json.loads(told.stdout)["supernodes"] or {}).get("online", 0)) if told.stdout else 0


def registered(host: ServingHost) -> int:
    """SuperNodes that may connect."""
    book = host.state / "superlink/nodes.json"
    return len(json.loads(book.read_bytes())) if book.exists() else 0


if __name__ == "__main__":
    main()
