"""A program for tests/server/test_ledger_writer.py: imports everything once, forks a writer for every run.

Reads one JSON object a line: a ledger's `folder`, its `witness`, a `seed`, and a file, `told`. The fork opens
the ledger and appends and announces until it is killed; of each head that was announced it tells size and
root in `told`. Answers with the fork's process id, and once it is dead with a second line.
"""

import json
import os
import random
import sys
import time
from itertools import count, takewhile
from pathlib import Path

from covey.ledger.checkpoint import LogTrust, Witnessed
from covey.ledger.entries import Waiver
from covey.ledger.note import Ed25519Signer
from covey_io.ledger_files import LedgerFiles
from covey_io.witness_client import LocalWitness
from covey_io.witness_store import WitnessFolder
from covey_server.ledger_writer import Log, writing

ORIGIN = "test/log"
LOG = Ed25519Signer(ORIGIN, bytes(range(32)))
LONG = 60_000
"""Characters of the longest entry: a write of many pages can be cut short by a kill."""


def watched(*folders: Path, cosignatures: int = 1) -> Log:
    """The test's log, watched by the witnesses in these folders."""
    keys = tuple(WitnessFolder.open(folder).key.verifier for folder in folders)
    return Log(LOG, LogTrust(ORIGIN, LOG.verifier, keys, cosignatures), tuple(map(LocalWitness, folders)))


def entry(number: int, length: int = 10) -> Waiver:
    """Any entry: the writer looks into none."""
    return Waiver(time=number, note="x" * length)


def tell(descriptor: int, head: Witnessed) -> None:
    """Tell of a head that was announced."""
    os.write(descriptor, f"{head.checkpoint.size} {head.checkpoint.root.hex()}\n".encode())


def write_on(request: dict[str, str]) -> None:
    """Append and announce until killed; for a minute at most, should whoever was to kill it be gone."""
    until = time.monotonic() + 60
    told = os.open(request["told"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    rng = random.Random(request["seed"])
    with writing(
        LedgerFiles(Path(request["folder"])), watched(Path(request["witness"])), lambda: 1
    ) as ledger:
        for number in takewhile(lambda _: time.monotonic() < until, count()):
            ledger.append(entry(number, rng.randrange(LONG)) for _ in range(rng.randrange(4)))
            if rng.random() < 0.8:
                tell(told, ledger.announce())


def main() -> None:
    """Answer until standard input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                write_on(request)
            finally:
                os._exit(1)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, code = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(code)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
