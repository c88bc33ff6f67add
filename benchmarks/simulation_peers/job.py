"""One measured run, from inside: what is to be done, and the moments at which it is measured.

A run is started as `python PROGRAM.py FOLDER ROUNDS ENGINE SOCKET`. At the end of the first and of the last
round it writes a line to the Unix socket and waits for an answer, so that its process tree stands still
while it is measured; when all is over it writes what it reached.
"""

import json
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from simulation_peers import workload


@dataclass(frozen=True)
class Job:
    """A run.

    Attributes:
        folder: Where the prepared workload is.
        rounds: To run.
        engine: Which of the peer's engines.
        address: Path of the socket.
    """

    folder: Path
    rounds: int
    engine: str
    address: str

    @classmethod
    def given(cls) -> "Job":
        """The run that the command line names."""
        folder, rounds, engine, address = sys.argv[1:5]
        return cls(Path(folder), int(rounds), engine, address)

    @cached_property
    def clients(self) -> workload.Clients:
        """Who is trained."""
        return workload.read(self.folder)

    def round_ended(self, number: int) -> None:
        """A round, from 1, is over."""
        if number in (1, self.rounds):
            self._say({"round": number})
            self._line.recv(1)

    def finished(self, accuracy: float, loss: float, packages: Iterable[str]) -> None:
        """All is over.

        Args:
            accuracy: On the held-out examples.
            loss: Mean cross-entropy there, nats.
            packages: Distributions whose versions are told.
        """
        versions = {"python": ".".join(map(str, sys.version_info[:3]))}
        versions |= {name: metadata.version(name) for name in packages}
        self._say({"accuracy": accuracy, "loss": loss, "versions": versions})

    def _say(self, message: dict[str, object]) -> None:
        self._line.sendall(json.dumps(message).encode() + b"\n")

    @cached_property
    def _line(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        line.connect(self.address)
        return line
