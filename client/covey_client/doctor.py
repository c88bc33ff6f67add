"""Checks of the machine under a device: clock, disk, memory, Python and what is installed.

Each returns a row and changes nothing: a probe file is removed again, and no file of the device's is written,
whoever runs it.
"""

import ctypes
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

from covey import budget as budgets
from covey.budget import Row as JournalRow
from covey.errors import StateError
from covey_client.checkup import Row

MB: Final = 1_000_000
OLDEST: Final = 1_735_689_600
NEWEST: Final = 4_102_444_800
"""A clock before 2025 or after 2100 is wrong."""

SLOW_FSYNC: Final = 0.5
LEAST_PYTHON: Final = (3, 11)
AGENT: Final = ("numpy", "cryptography", "msgspec")
_UNSYNCHRONISED: Final = 0x40
_STATUS_AT: Final = 40
_PROBE: Final = ".covey-doctor"


def is_synchronised() -> bool | None:
    """Whether the kernel's clock is kept by a time service (adjtimex(2)); None if it does not say."""
    about = ctypes.create_string_buffer(512)  # struct timex, of which nothing is set: only asked
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(about) < 0:
            return None
    except (OSError, AttributeError):
        return None
    (status,) = struct.unpack_from("i", about, _STATUS_AT)
    return not status & _UNSYNCHRONISED


def check_clock(now: float, synchronised: bool | None, known: int) -> Row:
    """The clock: plans and certificates are good for a time only.

    Args:
        now: Unix seconds.
        synchronised: As `is_synchronised` says.
        known: Unix seconds that have passed at least, as the ledger's witnesses said; 0 if unknown.
    """
    set_it = "timedatectl set-ntp true; without a network: date --set"
    told = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if not OLDEST <= now < NEWEST:
        return Row("clock", "fail", f"{told} is wrong", set_it)
    if now < known:
        return Row("clock", "fail", f"{told} is behind what the ledger's witnesses said", set_it)
    if not synchronised:
        said = (
            "the kernel does not say whether" if synchronised is None else "no time service sees to it that"
        )
        return Row("clock", "warn", f"{told}; {said} it is right", set_it)
    return Row("clock", "ok", f"{told}, synchronised")


def newest_head(journal: Path) -> int:
    """Unix seconds of the newest ledger head that a device has seen; 0 for none. Only reads.

    Args:
        journal: The device's budget, `budget.jsonl`.

    Raises:
        StateError: It is damaged.
    """
    if not journal.exists():
        return 0
    whole, _, _ = journal.read_bytes().rpartition(b"\n")  # the agent may be writing the last
    try:
        rows = msgspec.json.decode(b"[" + whole.replace(b"\n", b",") + b"]", type=list[JournalRow])
        return budgets.read(rows).clock
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{journal} is damaged: {error}", hint="enrol the device anew") from error


def check_disk(folder: Path, least_mb: float = 200) -> Row:
    """Whether a folder can be written, how much room there is, and how long an fsync takes.

    Args:
        folder: Of what the device never forgets.
        least_mb: Less room than this is a failure.
    """
    if not folder.is_dir():
        return Row("disk", "fail", f"{folder} is not there", "covey device enrol makes it")
    try:
        seconds = _probe(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Row("disk", "fail", f"{folder} cannot be written: {reason}", "run this as the agent's user")
    free = shutil.disk_usage(folder).free / MB
    told = f"{folder}: {free:.0f} MB free, fsync in {1000 * seconds:.0f} ms"
    if free < least_mb:
        return Row("disk", "fail", told, f"make room: {least_mb:g} MB; covey device forget, [data] keep_mb")
    if seconds > SLOW_FSYNC:
        return Row("disk", "warn", told, "a slow or worn card: each answer waits for several of these")
    return Row("disk", "ok", told)


def check_private(folder: Path) -> Row:
    """Whether nobody but the device's user can read its secrets."""
    secrets = [folder / name for name in ("identity.key", "salt", "tls.key", "node.key")]
    wrong = [path.name for path in secrets if path.exists() and path.stat().st_mode & 0o077]
    if wrong:
        return Row("secrets", "fail", f"others may read {', '.join(wrong)}", f"chmod 600 in {folder}")
    users = {path.stat().st_uid for path in folder.iterdir()} if folder.is_dir() else set()
    if len(users) > 1:
        told = f"files of users {', '.join(map(str, sorted(users)))} in {folder}"
        return Row("secrets", "warn", told, f"chown -R covey: {folder}")
    return Row("secrets", "ok", "for the device's user only")


def check_memory(least_mb: float, root: Path = Path("/")) -> Row:
    """Whether the machine has room for training.

    Args:
        least_mb: What training may take, `[limits]` memory_mb.
        root: Where `proc` is.
    """
    known = _meminfo(root)
    total, available = known.get("MemTotal", 0) / MB, known.get("MemAvailable", 0) / MB
    told = f"{available:.0f} of {total:.0f} MB available"
    if total < least_mb:
        return Row(
            "memory", "fail", told, f"[limits] memory_mb is {least_mb:g}: lower it, or only infer here"
        )
    if available < least_mb:
        return Row("memory", "warn", told, f"training may take {least_mb:g} MB: stop something else")
    return Row("memory", "ok", told)


def check_userland(machine: str | None = None, bits: int | None = None) -> Row:
    """Whether programs here are 64-bit: a Raspberry Pi can run a 64-bit kernel under 32-bit programs.

    Args:
        machine: As `uname -m` says; None to ask.
        bits: Of a pointer; None to ask.
    """
    machine = machine or platform.machine()
    bits = bits or 8 * struct.calcsize("P")
    told = f"{machine}, {bits}-bit programs"
    if bits != 64:  # noqa: PLR2004 - bits
        return Row("userland", "fail", told, "install 64-bit Raspberry Pi OS: there are no 32-bit wheels")
    if machine not in {"x86_64", "aarch64"}:
        return Row("userland", "warn", told, "tried on x86_64 and aarch64 only")
    return Row("userland", "ok", told)


def check_python(version: Sequence[int] = tuple(sys.version_info[:3])) -> Row:
    """Whether Python is new enough."""
    told = ".".join(str(each) for each in version)
    if tuple(version[:2]) < LEAST_PYTHON:
        return Row("python", "fail", told, "Python 3.11 or newer: Debian 12 has it")
    return Row("python", "ok", f"{told} in {sys.prefix}")


def check_wheels(names: Sequence[str] = AGENT, distribution: str = "covey") -> Row:
    """Whether what the agent imports is there, in a version that Covey asks for. Imports none of it.

    Args:
        names: Distributions.
        distribution: Whose requirements count.
    """
    wanted = _requirements(distribution)
    versions = {name: _version(name) for name in names}
    wrong = [
        f"{name} {version or 'is missing'}{f', expected {wanted[name]}' if wanted.get(name) else ''}"
        for name, version in versions.items()
        if version is None or not satisfies(version, wanted.get(name, ""))
    ]
    if wrong:
        return Row("wheels", "fail", "; ".join(wrong), "install again: client/deploy/install.sh")
    return Row("wheels", "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))


def check_grpc() -> Row:
    """Whether the session service can be used."""
    version = _version("grpcio")
    if version is None:
        return Row("grpc", "warn", "grpcio is missing", "sums go through Flower's messages, which are slower")
    return Row("grpc", "ok", f"grpcio {version}")


def check_worker(
    python: str = sys.executable, seconds: float = 180.0, modules: Sequence[str] = ("torch", "opacus")
) -> Row:
    """Whether training's own process could start: imports what it needs, in a process that ends.

    Args:
        python: The worker's interpreter.
        seconds: At most.
        modules: That it needs.
    """
    program = f"import {', '.join(modules)}; print({modules[0]}.__name__)"
    install = 'pip install "covey[device]" in that environment'
    began = time.monotonic()
    try:
        ran = subprocess.run(  # noqa: S603 - the owner's interpreter
            [python, "-c", program],
            capture_output=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Row("training", "fail", f"{python}: no import within {seconds:g} s", "see memory and disk")
    except OSError as error:
        return Row("training", "fail", f"{python}: {error.strerror}", install)
    if ran.returncode:
        last = (ran.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"])[-1]
        return Row("training", "fail", f"{python}: {last[:200]}", install)
    return Row("training", "ok", f"{', '.join(modules)} imported in {time.monotonic() - began:.1f} s")


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version is within bounds such as `>=2.0,<3`; numbers only, as Covey's own bounds are."""
    have = _numbers(version)
    for bound in filter(None, wanted.split(",")):
        match = re.fullmatch(r"(>=|<=|==|<|>)(.+)", bound.strip())
        if match is None:
            continue
        width = max(len(have), len(_numbers(match[2])))
        mine, other = (each + (0,) * (width - len(each)) for each in (have, _numbers(match[2])))
        agreed = {">=": mine >= other, "<=": mine <= other, "==": mine == other, "<": mine < other}
        if not agreed.get(match[1], mine > other):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version.strip())
    return tuple(int(each) for each in match[0].split(".")) if match else ()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements(distribution: str) -> dict[str, str]:
    """Bounds by name, of what is required without an extra."""
    found: dict[str, str] = {}
    with suppress(metadata.PackageNotFoundError):
        for line in metadata.requires(distribution) or ():
            requirement, _, marker = line.partition(";")
            match = re.match(r"([\w.-]+)\s*\(?([^()]*)\)?", requirement.strip())
            if match and not marker:
                found[match[1].lower()] = match[2].replace(" ", "")
    return found


def _probe(folder: Path) -> float:
    """Seconds that a small write takes until it is on the disk."""
    path = folder / f"{_PROBE}-{os.getpid()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        began = time.monotonic()
        os.write(descriptor, bytes(4096))
        os.fsync(descriptor)
        return time.monotonic() - began
    finally:
        os.close(descriptor)
        path.unlink()


def _meminfo(root: Path) -> dict[str, int]:
    """Bytes by name (proc(5), meminfo)."""
    found = {}
    for line in (root / "proc/meminfo").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        amount = value.split()
        if amount and amount[0].isdecimal():
            found[name] = int(amount[0]) * 1024
    return found
