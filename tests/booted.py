"""A machine that runs systemd: this one's files under a layer that is thrown away, in namespaces of its own.

What is installed there, users and units included, is installed nowhere else, unless another machine is booted
from its files. Its network is this machine's, so that packages can be fetched, but it may not change it; or
that of a host of `hosts.network`. Of its cgroups only those that systemd keeps processes in may be written:
units run under their users, system call filters and views of the file system, and MemoryMax=, TasksMax= and
IPAddressDeny= hold nothing.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest


@dataclass(frozen=True)
class Machine:
    """One that has booted.

    Attributes:
        leader: Its first process, as this machine counts.
    """

    leader: int

    @property
    def root(self) -> Path:
        """Its files, for this machine's root."""
        return Path(f"/proc/{self.leader}/root")

    @property
    def enter(self) -> list[str]:
        """What a command is started by, so that its root runs it there."""
        return ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C"]

    def try_to(self, *words: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """A command there, by its root."""
        return subprocess.run(
            [*self.enter, *words], capture_output=True, text=True, timeout=seconds, check=False, cwd="/"
        )

    def run(self, *words: str, seconds: float = 60) -> str:
        """What a command says there that must work."""
        done = self.try_to(*words, seconds=seconds)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def shown(self, unit: str, key: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, "-p", key, "--value").strip()

    def within(self, pid: int, user: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command by a user who sees the files that a process of a unit sees.

        Args:
            pid: Of the process, as the machine counts.
            user: Who.
            words: The command.
        """
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
        return self.try_to("nsenter", "-t", str(pid), "-m", *become, *words)


@contextmanager
def booted(
    folder: Path, share: Sequence[Path] = (), *, written: Path | None = None, network: str = ""
) -> Iterator[Machine]:
    """Boot one; skips the test where that cannot be. It is gone at the end, and what it wrote with it.

    Args:
        folder: For what it writes, which stays in memory.
        share: Folders of this machine that it may read under the same paths.
        written: What another machine wrote on its `card`: this one begins with it.
        network: The network namespace of a host; empty for this machine's own.
    """
    if os.geteuid() != 0:
        pytest.skip("only root may boot a machine")
    if not shutil.which("systemd-nspawn"):
        pytest.skip("no machine to boot: Debian's systemd-container is not installed")
    folder.mkdir(exist_ok=True)
    with _layer(folder, written) as files:
        words = [
            "systemd-nspawn",
            "-D",
            str(files),
            "--register=no",
            "--keep-unit",
            "--console=pipe",
            "--quiet",
        ]
        words += [f"--bind-ro={each}" for each in share]
        words += [f"--network-namespace-path=/run/netns/{network}"] if network else []
        words += ["--boot", "systemd.unit=basic.target"]
        with _groups() as groups, (folder / "console").open("wb") as console:
            enter = "".join(f"echo $$ > {each}/cgroup.procs && " for each in groups)
            process = subprocess.Popen(
                ["sh", "-c", f'{enter}exec "$@"', "sh", *words],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
            try:
                yield _awaited(process, folder / "console")
            finally:
                _end(process)


@contextmanager
def _groups() -> Iterator[list[Path]]:
    """Cgroups of its own, where systemd keeps processes: two machines are two."""
    name = f"covey-{os.getpid()}-{secrets.token_hex(4)}"
    found = [Path(f"/sys/fs/cgroup/{each}") for each in ("unified", "systemd")]
    made = [each / name for each in found if each.is_dir()]
    for each in made:
        each.mkdir()
    try:
        yield made
    finally:
        for each in made:
            for path, _, _ in os.walk(each, topdown=False):
                with suppress(OSError):  # a process of it is not quite gone
                    os.rmdir(path)  # noqa: PTH106 - os.walk gives words


@contextmanager
def card(folder: Path) -> Iterator[Path]:
    """Memory in which a machine that is booted in this folder writes, and that outlives it.

    Yields:
        What it will have written, for other machines to begin with.
    """
    if os.geteuid() != 0:
        pytest.skip("only root may boot a machine")
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
    try:
        yield folder / "upper"
    finally:
        _unmount(folder)


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", folder], check=True)


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no machine to boot: {done.stderr.strip()}")


@contextmanager
def _layer(folder: Path, written: Path | None) -> Iterator[Path]:
    """All files of this machine, and of another one over them, to be written without changing them."""
    parts = {name: folder / name for name in ("upper", "work", "all")}
    lower = f"{written}:/" if written else "/"
    options = f"lowerdir={lower},upperdir={parts['upper']},workdir={parts['work']}"
    with ExitStack() as stack:
        if not folder.is_mount():
            _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
            stack.callback(_unmount, folder)
        for each in parts.values():
            each.mkdir(exist_ok=True)
        _mount("-t", "overlay", "-o", options, "overlay", str(parts["all"]))
        stack.callback(_unmount, parts["all"])
        yield parts["all"]


def _awaited(process: "subprocess.Popen[bytes]", console: Path, seconds: float = 60) -> Machine:
    """Once systemd is there and its units can be started."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        children = psutil.Process(process.pid).children()
        made = Machine(children[0].pid) if children else None
        if made and made.try_to("systemctl", "is-active", "basic.target").stdout == "active\n":
            return made
        time.sleep(0.2)
    said = re.sub(r"\x1b\[[0-9;]*m", "", console.read_text(errors="replace"))
    pytest.skip(f"no machine boots here: {said.strip()[-300:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Its first process takes all others with it (pid_namespaces(7))."""
    for child in psutil.Process(process.pid).children() if process.poll() is None else []:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
