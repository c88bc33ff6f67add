"""What a run takes of a machine, by the operating system's count; added up where a run is gone on with."""

import ctypes
import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from covey_io import durable

NAME: Final = "resources.json"
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK: Final = "5"
"""proc_pid_clear_refs(5): sets the peak of resident memory to what is resident now."""


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What a run took.

    Attributes:
        seconds: By the clock, from reading data to the last file.
        cpu_seconds: Of the processor, of this process and those it waited for.
        peak_memory_mb: Most resident memory of its process, MB; it has the libraries in it.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0

    def plus(self, more: "Resources") -> "Resources":
        """Both, one after the other."""
        return Resources(
            seconds=round(self.seconds + more.seconds, 3),
            cpu_seconds=round(self.cpu_seconds + more.cpu_seconds, 3),
            peak_memory_mb=max(self.peak_memory_mb, more.peak_memory_mb),
        )


@contextmanager
def counted(folder: Path) -> Iterator[None]:
    """Count what the block takes into a run's folder, if there is one at its end, however it ends."""
    _reset_peak()
    began, cpu = time.monotonic(), _cpu()
    try:
        yield
    finally:
        taken = Resources(
            seconds=time.monotonic() - began, cpu_seconds=_cpu() - cpu, peak_memory_mb=_peak() / 1e6
        )
        if folder.is_dir():
            found = read(folder).plus(taken)
            durable.replace(folder / NAME, msgspec.json.encode(found) + b"\n")


def read(folder: Path) -> Resources:
    """What a run took; nothing where it was not counted."""
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Resources)
    return Resources()


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def let_go() -> None:
    """Give back what an earlier run left, so that the peak is of the next; takes a quarter of a second."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc's; musl has none
        ctypes.CDLL(None).malloc_trim(0)


def _reset_peak() -> None:
    with suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK)


def _peak() -> int:
    """Bytes."""
    lines = _STATUS.read_text("ascii", "replace").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
