"""Ties a program to the life of the process that started it: `python tether.py PARENT COMMAND …`.

The kernel kills the program when its parent is gone, however it went (prctl(2), PR_SET_PDEATHSIG). The parent
must start it from its main thread, and it must not change its user.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tether(parent: int) -> None:
    """Die with `parent`; at once if it is gone already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Become the program."""
    tether(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - a path that the server wrote, no shell


if __name__ == "__main__":
    main()
