"""The server's own process: starts its parts, looks after them and the runs, and ends them all.

`python -m covey_server.serving CONFIG`. It imports neither torch nor flwr: what does is a child of its own,
and may be killed at any moment, as may this process. All that has to outlive it is on disk.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final

from covey.errors import CoveyError, InputError
from covey_io import durable
from covey_io.lock import held
from covey_io.notify import READY, STOPPING, WATCHDOG, notify, status
from covey_server import enrolment_part, serve_status, superlink
from covey_server.keeper import Keeper
from covey_server.marked import end, mark_of
from covey_server.nodes import BOOK, Nodes
from covey_server.orders import Orders
from covey_server.serve_status import ServerStatus, Teller
from covey_server.server_file import ServerFile, read
from covey_server.supervision import Part

STEP: Final = 0.5
"""Seconds between two looks."""


class Host:
    """All that a server looks after.

    Args:
        file: Its configuration.
    """

    def __init__(self, file: ServerFile) -> None:
        folder = file.folder
        self._link = Part(superlink.program(file), folder.path)
        enrolment = enrolment_part.program(file)
        self.parts = [self._link, *([Part(enrolment, folder.path)] if enrolment else [])]
        self._keeper = Keeper(file, Orders(folder.orders), self._link, say)
        self._nodes = Nodes(
            Path(file.operator) / "nodes",
            folder.superlink / BOOK,
            lambda words: superlink.asked(file, words),
            say,
        )

    def step(self) -> None:
        """Look after everything once."""
        for part in self.parts:
            part.step()
        if self._link.state == "healthy":
            self._nodes.step()
        self._keeper.step()

    def close(self) -> None:
        """End everything, ServerApps first: they say good-bye to the SuperLink."""
        self._keeper.close()
        for part in reversed(self.parts):
            part.stop()


def run(file: ServerFile, stop: threading.Event) -> None:
    """Until `stop` is set.

    Raises:
        CoveyError: Another server has this state, or something on disk is damaged.
    """
    folder = file.folder
    durable.make_folder(folder.path, mode=0o700)
    busy = InputError(f"{folder.path}: another server runs with this state", hint="stop it first")
    with ExitStack() as stack:
        _hold(stack, folder.path, busy)
        if left := end(mark_of(folder.path, "")):
            say(f"ended {left} processes that an earlier server left")
        folder.status.unlink(missing_ok=True)  # what that one said
        superlink.prepare(file)
        host = Host(file)
        stack.callback(host.close)
        stack.callback(notify, STOPPING)
        teller, started = Teller(folder.status, tell), int(time.time())
        while not stop.wait(STEP):
            host.step()
            teller.step(serve_status.of_parts(os.getpid(), started, host.parts))
            notify(WATCHDOG)


def _hold(stack: ExitStack, path: Path, busy: InputError) -> None:
    """Hold the state until `stack` is closed. Whoever only looks whether it is held lets it go at once."""
    for last in (*[False] * 20, True):
        try:
            stack.enter_context(held(path, busy))
        except InputError:
            if last:
                raise
            time.sleep(0.1)
        else:
            return


def tell(told: ServerStatus) -> None:
    """Say how the parts are; ready, once all answer."""
    say(told.line)
    notify("\n".join([status(told.line), *([READY] if told.is_healthy else [])]))


def say(line: str) -> None:
    """Tell the server's owner."""
    sys.stderr.write("covey: " + "".join(char if char.isprintable() else "?" for char in line) + "\n")
    sys.stderr.flush()


def stopping(signals: Iterable[signal.Signals]) -> threading.Event:
    """Set by the first of these signals."""
    event = threading.Event()

    def ends(_: int, __: FrameType | None) -> None:
        event.set()

    for each in signals:
        signal.signal(each, ends)
    return event


def main() -> None:
    """Of the process."""
    stop = stopping((signal.SIGTERM, signal.SIGINT))
    try:
        run(read(Path(sys.argv[1])), stop)
    except CoveyError as error:
        say(str(error))
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
