"""A command that somebody runs at a terminal, and types what it asks for."""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Sequence

ASKS = re.compile(rb": $")
"""What ends so, and is followed by silence, is a question."""


def at_a_terminal(
    words: Sequence[str], answer: Callable[[str], str], seconds: float
) -> "subprocess.CompletedProcess[str]":
    """Run it to its end.

    Args:
        words: The command.
        answer: To a question, given all that was printed so far.
        seconds: It may take.

    Returns:
        Its status, and in `stdout` all that stood on the screen.
    """
    screen, terminal = pty.openpty()
    made = ["setsid", "--ctty", "--wait", *words]
    with subprocess.Popen(made, stdin=terminal, stdout=terminal, stderr=terminal, cwd="/") as process:
        os.close(terminal)
        shown, deadline = b"", time.monotonic() + seconds
        try:
            while (more := _more(screen, deadline)) is not None:
                shown += more
                if not more and ASKS.search(shown):
                    answered = f"{answer(shown.decode(errors='replace'))}\n"
                    os.write(screen, answered.encode())
                    shown += b"\n"
        finally:
            os.close(screen)
            if time.monotonic() > deadline:
                process.kill()
    return subprocess.CompletedProcess(
        words, process.returncode, shown.decode(errors="replace").replace("\r", ""), ""
    )


def _more(screen: int, deadline: float) -> bytes | None:
    """What is new; None once nobody writes there any more."""
    assert time.monotonic() < deadline, "it does not end"
    if not select.select([screen], [], [], 0.2)[0]:
        return b""
    try:
        return os.read(screen, 65536) or None
    except OSError:  # Linux: the last process that had it open is gone
        return None
