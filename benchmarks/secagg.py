#!/usr/bin/env python3
"""CPU time, bytes and memory of a private sum, against what its arithmetic takes at least.

One JSON object a line, one line for each point of the grid:

  n, neighbours, threshold, d, profile, cipher, bits
  drop             devices that drop out after sharing their keys (--drop: percent of n, one at least)
  workers          threads that expand masks
  client_cpu_ms    all stages of one device, from the plan to the unmasking; encoding and noise apart
  client_stages_ms the same by stage; a plan's signature and roster belong to "advertise"
  client_floor_ms  k + 1 masks of d words drawn with this cipher and added in blocks in the cache
  client_bound_ms  the floor, and the signatures, exchanges and hash that the protocol prescribes
  client_ratio     client_cpu_ms over client_floor_ms
  server_…         the same for the server's steps; the floor is a self mask and an addition for each
                   survivor, and the pair masks of each drop-out
  client_wall_ms, server_wall_ms  by the clock: less than CPU time with --workers 2
  encode_cpu_ms, noise_cpu_ms     clipping and rounding an answer; drawing one Skellam vector (z = 4)
  upload_bytes, download_bytes    of one device, all stages; packed_bytes of them are the vector
  peak_extra_mb    most that a device allocates in any stage above its state, less one vector and one reply
  server_peak_extra_mb  most that a server's step allocates above its state and the replies, less one vector
                   and one reply (not above 500 devices)
  process_peak_mb  of the whole benchmark: both sides, replies and bookkeeping (Linux)
  *_min_ms         the least of the repeats; the others are medians

A few devices are real and timed; the others are synthetic: their messages are right but cheap to make, and
the time for making them is left out (docs/performance.md). Every opened sum is compared with the true one.

  benchmarks/secagg.py --n 100 --d 1000000 --cipher aes-256-ctr --cipher chacha20
  benchmarks/secagg.py --profile semi-honest-server --n 1000 --drop 5 --repeat 5
"""

import argparse
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import get_args

import secagg_floors
from secagg_session import Case, Fleet, Meter, Outcome

from covey.errors import InputError
from covey.plan import LARGEST_COHORT, Profile
from covey.ring import packed_size
from covey.secagg.masks import Cipher

SIZES = {"malicious-server": (16, 32, 64, 100, 200), "semi-honest-server": (1000, 10_000)}
LENGTHS = {"malicious-server": (10_000, 100_000, 1_000_000), "semi-honest-server": (10_000,)}


def main() -> None:
    """Print the table."""
    for case, repeat, memory in _grid(_parser().parse_args()):
        try:
            print(json.dumps(row(case, repeat, memory=memory)), flush=True)
        except InputError as error:
            raise SystemExit(f"secagg.py: {error.message} ({error.hint})") from error


def row(case: Case, repeat: int, *, memory: bool) -> dict[str, object]:
    """One line of the table.

    Raises:
        RuntimeError: A sum was not the right one.
    """
    _forget_peak()
    fleet = Fleet(case)
    outcomes, floors, prepared = list[Outcome](), list[secagg_floors.Floors](), list[tuple[float, float]]()
    for _ in range(repeat):
        outcomes.append(_checked(fleet.run()))
        floors.append(secagg_floors.measure(case))
        prepared.append(secagg_floors.preparation(case))
    devices = [device for outcome in outcomes for device in outcome.devices]
    client, server = [each.meter for each in devices], [each.server for each in outcomes]
    return {
        "n": case.size,
        "neighbours": case.cohort.neighbours,
        "threshold": case.cohort.threshold,
        "d": case.length,
        "profile": case.profile,
        "cipher": case.cipher,
        "bits": case.bits,
        "drop": case.dropped,
        "workers": case.workers,
        "repeat": repeat,
        **_times("client", [each.cpu for each in client], [each.client for each in floors]),
        "client_bound_ms": _ms(each.client_bound for each in floors),
        **_wall("client", client),
        **_times("server", [each.cpu for each in server], [each.server for each in floors]),
        "server_bound_ms": _ms(each.server_bound for each in floors),
        **_wall("server", server),
        "encode_cpu_ms": _ms(encoding for encoding, _ in prepared),
        "noise_cpu_ms": _ms(noise for _, noise in prepared),
        "upload_bytes": round(median(each.sent for each in devices)),
        "download_bytes": round(median(each.received for each in devices)),
        "packed_bytes": packed_size(case.length, case.bits),
        "process_peak_mb": _process_peak(),
        **(_memory(fleet) if memory else {}),
    }


def _times(name: str, spent: list[dict[str, float]], floors: list[float]) -> dict[str, object]:
    totals = [sum(each.values()) for each in spent]
    return {
        f"{name}_cpu_ms": _ms(totals),
        f"{name}_min_ms": round(1e3 * min(totals), 2),
        f"{name}_stages_ms": {stage: _ms(each[stage] for each in spent) for stage in spent[0]},
        f"{name}_floor_ms": _ms(floors),
        f"{name}_ratio": round(median(totals) / median(floors), 2),
    }


def _wall(name: str, meters: list[Meter]) -> dict[str, float]:
    totals = [sum(each.wall.values()) for each in meters]
    return {f"{name}_wall_ms": _ms(totals), f"{name}_wall_min_ms": round(1e3 * min(totals), 2)}


def _memory(fleet: Fleet) -> dict[str, object]:
    """In a session of its own: tracing makes everything slower."""
    case = fleet.case
    vectors = 4 * case.length + packed_size(case.length, case.bits)
    tracemalloc.start()
    outcome = _checked(fleet.run(eager=True))
    tracemalloc.stop()
    client = max(device.meter.peak for device in outcome.devices)
    found: dict[str, object] = {"peak_extra_mb": _mb(client - vectors)}
    if case.size <= LARGEST_COHORT:
        found["server_peak_extra_mb"] = _mb(outcome.server.peak - vectors)
    return found


def _checked(outcome: Outcome) -> Outcome:
    if not outcome.right:
        raise RuntimeError("the sum that was opened is not that of the survivors' answers")
    return outcome


def _ms(seconds: Iterable[float]) -> float:
    return round(1e3 * median(seconds), 2)


def _mb(size: int) -> float:
    return round(size / 1e6, 2)


def _forget_peak() -> None:
    """Let Linux count this process's most memory anew."""
    if (clear := Path("/proc/self/clear_refs")).exists():
        clear.write_text("5", "ascii")


def _process_peak() -> float | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM"))
    return _mb(1024 * int(line.split()[1]))


def _grid(arguments: argparse.Namespace) -> Iterator[tuple[Case, int, bool]]:
    for profile in arguments.profile or get_args(Profile):
        for size in arguments.n or SIZES[profile]:
            if not arguments.profile and (size <= LARGEST_COHORT) != (profile == "malicious-server"):
                continue
            for length in arguments.d or LENGTHS[profile]:
                for cipher in arguments.cipher or ["chacha20"]:
                    for percent in arguments.drop or (0, 5):
                        case = Case(
                            size=size,
                            length=length,
                            profile=profile,
                            cipher=cipher,
                            bits=arguments.bits,
                            dropped=max(1, size * percent // 100) if percent else 0,
                            sampled=arguments.sample,
                            workers=arguments.workers,
                        )
                        yield case, arguments.repeat, not arguments.no_memory and size <= LARGEST_COHORT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--n", type=int, action="append", help="devices (16 32 64 100 200; semi-honest-server: 1000 10000)")
    add("--d", type=int, action="append", help="elements (10000 100000 1000000; semi-honest-server: 10000)")
    add(
        "--profile",
        action="append",
        choices=get_args(Profile),
        help="of the protocol (for up to 500 devices malicious-server, above semi-honest-server)",
    )
    add("--cipher", action="append", choices=get_args(Cipher), help="of the masks (chacha20)")
    add("--drop", type=int, action="append", help="percent that drop out after sharing keys (0 5)")
    add("--repeat", type=int, default=3, help="sessions for each line; medians are printed (3)")
    add("--bits", type=int, default=32, help="of the modulus, 16 to 32 (32)")
    add("--sample", type=int, default=3, help="real devices in each session (3)")
    add("--workers", type=int, default=1, help="threads that expand masks, on both sides (1)")
    add("--no-memory", action="store_true", help="spare the session that traces memory")
    parser.epilog = "Every option but the last five may be given more than once; together they span the grid."
    return parser


if __name__ == "__main__":
    main()
