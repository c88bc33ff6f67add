"""docs/releases.md, followed literally: each of its blocks, taken from the page, in its order, in one folder.

Done in the reader's place: passphrases are typed, $NAME is changed for each device, files are served at
$RELEASES; and server and devices are in this process, where a fleet would have a SuperLink between them.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from covey.ledger.entries import ModelRelease, RolloutDecision
from covey_client.slots import installed
from covey_io.ledger_files import LedgerFiles
from covey_server.sum_rows import read_entries
from fleet_here import fleet_here
from page_blocks import Block, blocks_of

PAGE = Path(__file__).parents[2] / "docs/releases.md"
DEVICES = tuple(f"pi-{number:02d}" for number in range(1, 11))
PASSPHRASE = "five words that people type"
ORDERED = "covey fleet run"
"""The first block with it needs a fleet, and so do those behind it."""
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


class Quiet(SimpleHTTPRequestHandler):
    """A web server that keeps no log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nothing."""


@dataclass
class Walk:
    """Somebody who follows the page.

    Attributes:
        folder: Where.
        address: Where the repository is served.
        said: All that was printed, by block.
    """

    folder: Path
    address: str
    said: list[str] = field(default_factory=list)

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        if block.kind == "toml":
            (self.folder / block.where).write_text(block.text)
        elif block.where.startswith("each device"):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                self.said.append("".join(pool.map(lambda name: self.commands(block, name), DEVICES)))
        else:
            name = block.where.partition(":")[0]
            self.said.append(self.commands(block, name if name in DEVICES else ""))

    def commands(self, block: Block, name: str) -> str:
        """All of a block; each must work."""
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", block.text],
            cwd=self.folder,
            env=self.environment(name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )
        said = f"# {block.where} {name}\n{done.stdout}"
        assert done.returncode == 0, f"{said}\nstatus {done.returncode} of\n{block.text}"
        return said

    def environment(self, name: str) -> dict[str, str]:
        """What is set in the shell."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "COVEY_PASSPHRASE": PASSPHRASE,
            "COVEY_SERVER": str(self.folder / "server.toml"),
            "COVEY_DEVICE": str(self.folder / f"{name}.toml"),
            "RELEASES": self.address,
            "NAME": name,
        }


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Static files, on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, name="static files")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_page_is_followed_from_a_run_to_every_device_and_back(tmp_path: Path) -> None:
    blocks = blocks_of(PAGE)
    first = next(index for index, block in enumerate(blocks) if ORDERED in block.text)
    with served(tmp_path / "server/repository") as address:
        walk = Walk(tmp_path, address)
        for block in blocks[:first]:
            walk.follow(block)
        with fleet_here(tmp_path / "server.toml", tmp_path / "keys/devices"):
            for block in blocks[first:]:
                walk.follow(block)
    check_what_was_said(walk)
    check_what_is_there(tmp_path)


def check_what_was_said(walk: Walk) -> None:
    """What the page promises, as its reader sees it."""
    everything = "\n".join(walk.said)
    for words in (
        "root: 1 more of",
        "the policy allows",
        "digits 1.0.0 stands in the ledger",
        "prepared models/digits/1.1.0.covey; it still needs",
        "approved by anna.example.org, bo.example.org",
        "ring all opens",
        "rollout digits-1.0: complete",
        "on trial: digits 1.0.0",
        "runs      digits 1.1.0",
        "pi-03 should run digits 1.0.0",
        "rollout digits-1.1: rolled-back",
        "Nothing was found against this ledger",
    ):
        assert words in everything, f"nobody said {words!r}:\n{everything}"


def check_what_is_there(folder: Path) -> None:
    """On the devices, and in the ledger."""
    for name in DEVICES:
        assert installed(folder / "keys/devices" / name / "device").manifest.version == "1.0.0"
    found = read_entries(LedgerFiles(folder / "server/runs/ledger"))
    archives = {(folder / f"digits-{version}.covey").read_bytes() for version in ("1.0.0", "1.1.0")}
    released = {each.package for each in found if isinstance(each, ModelRelease)}
    assert {sha256(each).hexdigest() for each in archives} <= released
    actions = [each.action for each in found if isinstance(each, RolloutDecision)]
    assert actions[:4] == ["start", "open", "complete", "start"]
    assert actions[-4:] == ["abort", "rollback", "unhold", "unpin"]
