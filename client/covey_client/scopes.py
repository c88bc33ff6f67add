"""Cgroups for programs that the agent starts, from systemd: the kernel then keeps their memory and share.

`systemd-run --scope` makes the cgroup and becomes the program. The agent's user may ask the system's manager
only where polkit lets it, and has a manager of its own only with a session: so it is tried once, and where
neither is permitted, `covey_client.limits` alone keeps the limits.
"""

import os
import subprocess
from collections.abc import Sequence
from typing import Final, Literal

from covey_client.limits import MB, Limits

Whose = Literal["system", "user"]

MANAGERS: Final[tuple[Whose, ...]] = ("system", "user")
_TRY_SECONDS: Final = 5.0


def scope(limits: Limits, whose: Whose, command: str = "systemd-run") -> tuple[str, ...]:
    """The command to put in front of a program, so that it runs in a cgroup with these limits.

    Args:
        limits: Memory, and processors as a share of time.
        whose: Which manager makes the cgroup.
        command: systemd's.
    """
    properties = [f"MemoryMax={limits.memory_mb * MB}", "MemorySwapMax=0", "TasksMax=512"]
    if limits.cores:
        properties.append(f"CPUQuota={limits.cores * 100}%")
    flags = (f"--{whose}", "--scope", "--quiet", "--collect", "--no-ask-password")
    return (command, *flags, *(each for text in properties for each in ("-p", text)), "--")


def find(limits: Limits, command: str = "systemd-run") -> tuple[str, ...]:
    """The first such command that works here; empty if none does.

    Args:
        limits: As `scope` has them.
        command: systemd's.
    """
    prefixes = (scope(limits, whose, command) for whose in MANAGERS)
    return next((prefix for prefix in prefixes if _works(prefix)), ())


def _works(prefix: Sequence[str]) -> bool:
    try:
        tried = subprocess.run(  # noqa: S603 - a fixed command without a shell
            [*prefix, "true"],
            capture_output=True,
            timeout=_TRY_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return tried.returncode == 0
