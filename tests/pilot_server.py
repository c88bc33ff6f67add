"""The ServerApp of a pilot in a process of its own, in whatever network it is started.

FOLDER ADDRESS [MOMENT]: with a moment it is gone then, as in a power cut: before the messages of a stage are
sent, or when the answers to the last one are there and nothing of them is written.
"""

import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from flwr.app import Message

from covey_server import app
from covey_server.session_grid import SessionGrid
from covey_simulations.grid import InProcessGrid
from pilot_run import context_of

ANSWERED = "answered"
MOMENTS = ("advertise", "share", "masked", "consistency", "unmask", ANSWERED)


def killed_at(moment: str) -> type[SessionGrid]:
    """A grid whose process does not outlive a moment of the first sum."""

    class Killed(SessionGrid):
        def send_and_receive(
            self, messages: Iterable[Message], *, timeout: float | None = None
        ) -> Iterable[Message]:
            sent = list(messages)
            stage = sent[0].metadata.message_type.rpartition(".")[2] if sent else ""
            if stage == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            replies = super().send_and_receive(sent, timeout=timeout)
            if moment == ANSWERED and stage == "unmask":
                os.kill(os.getpid(), signal.SIGKILL)
            return replies

    return Killed


def main(folder: Path, address: str) -> None:
    """As `flwr run` does it; Flower's own grid is nobody's."""
    nobody = InProcessGrid(lambda message, _: message, [2])  # type: ignore[arg-type] # names the run
    app.main(nobody, context_of(folder, sessions=address))


if __name__ == "__main__":
    if sys.argv[3:]:
        app.SessionGrid = killed_at(sys.argv[3])  # type: ignore[attr-defined]  # what app.main makes
    main(Path(sys.argv[1]), sys.argv[2])
