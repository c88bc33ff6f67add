"""Processes under users of their own, without any capability, and the proof that they are.

A test of separation proves nothing unless what it ran was separated: `check_powerless` is given what the
process itself read in /proc/self/status.
"""

import os
from pathlib import Path

POWERLESS = ("--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def as_user(uid: int) -> list[str]:
    """What a command is started by, by root, so that it runs as a user and group (setpriv(1))."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", *POWERLESS]


def check_powerless(status: str, uid: int) -> None:
    """Assert that a process is a user, in its own group alone, and can become nobody else.

    Args:
        status: What it read in its own /proc/self/status.
        uid: The user; its group has the same number.
    """
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    assert lines["Uid"].split() == [str(uid)] * 4
    assert lines["Gid"].split() == [str(uid)] * 4
    assert lines["Groups"].split() == []
    assert [int(lines[name], 16) for name in CAPABILITIES] == [0] * len(CAPABILITIES)
    assert lines["NoNewPrivs"].strip() == "1"


def owned_by(uid: int, folder: Path) -> None:
    """A folder and all in it, and for nobody else."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid)
        path.chmod(0o700 if path.is_dir() else 0o600)
