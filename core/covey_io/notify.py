"""What a service tells systemd: sd_notify(3), a datagram to the socket that NOTIFY_SOCKET names."""

import os
import socket
from collections.abc import Mapping
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"


def notify(message: str, environment: Mapping[str, str] | None = None) -> bool:
    """Tell whoever started this process.

    Args:
        message: Assignments, a line each.
        environment: Where NOTIFY_SOCKET is looked up; None for this process's own.

    Returns:
        Whether somebody listens; without a socket, or with one that is gone, nothing happens.
    """
    path = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto(message.encode(), address)
    except OSError:
        return False
    return True


def status(text: str) -> str:
    """A line for `systemctl status`."""
    return f"STATUS={' '.join(text.split())}"


def watchdog_seconds(environment: Mapping[str, str] | None = None) -> float | None:
    """How often WATCHDOG=1 must come at least; None where nobody waits for it (sd_watchdog_enabled(3))."""
    known = os.environ if environment is None else environment
    given, whom = known.get("WATCHDOG_USEC", ""), known.get("WATCHDOG_PID", "")
    if not given.isdecimal() or (whom and whom != str(os.getpid())):
        return None
    return int(given) / 1e6
