"""What is put in front of a program, where systemd lets the agent."""

import sys
from pathlib import Path

import pytest

from covey_client.limits import Limits, Outcome, start
from covey_client.scopes import find, scope

LIMITS = Limits(memory_mb=256, cores=2)

# Stands for systemd-run: makes no cgroup, but takes the same command line and becomes the program.
STAND_IN = """#!/bin/sh
echo "$@" >>{log}
[ "$1" = --{permitted} ] || {{ echo "Failed to start transient scope unit: Access denied" >&2; exit 1; }}
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


def stand_in(folder: Path, permitted: str) -> str:
    path = folder / "systemd-run"
    path.write_text(STAND_IN.format(log=folder / "log", permitted=permitted))
    path.chmod(0o755)
    return str(path)


def test_the_command_names_the_limits() -> None:
    assert scope(LIMITS, "system") == (
        "systemd-run", "--system", "--scope", "--quiet", "--collect", "--no-ask-password",
        "-p", "MemoryMax=256000000", "-p", "MemorySwapMax=0", "-p", "TasksMax=512",
        "-p", "CPUQuota=200%", "--",
    )  # fmt: skip
    assert "CPUQuota" not in " ".join(scope(Limits(), "user"))


def test_each_manager_is_tried_and_the_first_that_works_is_taken(tmp_path: Path) -> None:
    for permitted in ("system", "user"):
        command = stand_in(tmp_path, permitted)
        assert find(LIMITS, command)[:2] == (command, f"--{permitted}")


def test_without_systemd_there_is_none(tmp_path: Path) -> None:
    assert find(LIMITS, str(tmp_path / "nowhere")) == ()
    assert find(LIMITS, stand_in(tmp_path, "nobody")) == ()


def test_what_is_only_tried_tells_nothing_to_whoever_watches_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd-run reports its own failure to the unit's socket, and the journal would show it as odd."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/of/the/agent")
    command = tmp_path / "systemd-run"
    command.write_text(f'#!/bin/sh\necho "[$NOTIFY_SOCKET]" >>{tmp_path}/told\nexit 1\n')
    command.chmod(0o755)
    assert find(LIMITS, str(command)) == ()
    assert set((tmp_path / "told").read_text().split()) == {"[]"}


def test_what_the_kernel_kills_in_a_cgroup_was_out_of_memory(tmp_path: Path) -> None:
    container = scope(LIMITS, "user", stand_in(tmp_path, "user"))
    argv = [sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 9)"]
    with start(argv, LIMITS, container=container) as child:
        assert child.wait(30).outcome is Outcome.OUT_OF_MEMORY
    with start(argv, LIMITS) as child:
        assert child.wait(30).reason == "it was killed by SIGKILL"
    with start(["echo", "through"], LIMITS, container=container) as child:
        assert child.communicate()[0] == b"through\n"
