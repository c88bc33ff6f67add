"""How a served model goes, counted by whoever serves it where the updater can read it, at no cost a request.

    DEVICE/serving/PID-TIME     one file for each process and model that it serves

A file is mapped memory: what is counted outlives the process, not a power cut. The process holds a lock on it
(flock(2)), which ends with the process however that ends. So a file that nobody holds and that says "busy" is
of a process that died within a request, or while it loaded the model.
"""

import fcntl
import hashlib
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = "serving"
MOST_FILES: Final = 256
LOCK_TRIES: Final = 20
LOCK_SECONDS: Final = 0.005
"""Between two of them."""

# magic, image (SHA-256), start of the device (SHA-256), requests answered, failed, busy since (ns; 0: not)
_LAYOUT: Final = struct.Struct("<8s32s32sQQQ")
_MAGIC: Final = b"covey-c1"
_COUNT: Final = struct.Struct("<Q")
_SERVED, _ERRORS, _BUSY = 72, 80, 88


@dataclass(frozen=True)
class Count:
    """What one process said of one model.

    Attributes:
        name: Of its file.
        image: SHA-256 of the archive.
        served: Requests, failed ones as well.
        errors: Of them, failed.
        busy_seconds: How long its oldest request has lasted; 0 without one.
        alive: Whether the process lives.
        this_boot: Whether it was written since the device started.
    """

    name: str
    image: str
    served: int
    errors: int
    busy_seconds: float
    alive: bool
    this_boot: bool

    @property
    def died_busy(self) -> bool:
        """Whether the model is to blame for the process's end; a device without power has not crashed."""
        return not self.alive and self.this_boot and self.busy_seconds > 0


class Counts:
    """One file, as the process that serves writes it.

    Args:
        device_folder: The device's folder.
        image: SHA-256 of the archive of what is served.

    Raises:
        OSError: It cannot be made, or somebody else has locked it first: nobody who serves waits for that.
    """

    def __init__(self, device_folder: Path, image: str) -> None:
        folder = device_folder / FOLDER
        folder.mkdir(exist_ok=True)
        path = folder / f"{os.getpid()}-{time.time_ns()}"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            _lock(self._file)
        except OSError:
            os.close(self._file)
            path.unlink(missing_ok=True)
            raise
        os.write(self._file, _LAYOUT.pack(_MAGIC, bytes.fromhex(image), _boot(), 0, 0, 0))
        self._map = mmap.mmap(self._file, _LAYOUT.size)
        self._guard = threading.Lock()  # a request may end while its model is let go
        self.served = self.errors = 0

    def busy(self, since_ns: int) -> None:
        """A request has begun, by `clock`; 0: none is on."""
        with self._guard:
            self._put(_BUSY, since_ns)

    def count(self, *, failed: bool) -> None:
        """A request was answered, or failed."""
        with self._guard:
            self.served += 1
            self.errors += failed
            self._put(_SERVED, self.served)
            self._put(_ERRORS, self.errors)

    def close(self) -> None:
        """It is not served here any more; the file stays for the updater. What is told later is dropped."""
        with self._guard:
            if not self._map.closed:
                self._put(_BUSY, 0)
                self._map.close()
                os.close(self._file)

    def _put(self, where: int, number: int) -> None:
        if not self._map.closed:
            _COUNT.pack_into(self._map, where, number)


def clock() -> int:
    """Nanoseconds since the device started; the same for all its processes."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def read_counts(device_folder: Path) -> tuple[Count, ...]:
    """What every process has said; files that are none are left out."""
    return tuple(found for path in _files(device_folder) if (found := _read(path)) is not None)


def prune_counts(device_folder: Path, keep: str = "") -> None:
    """Remove what dead processes left, all but of one image, of which the newest stay.

    Args:
        device_folder: The device's folder.
        keep: SHA-256 of an image.

    Raises:
        OSError: It cannot be removed.
    """
    dead = [each for each in read_counts(device_folder) if not each.alive]
    kept = [each for each in dead if each.image == keep][-MOST_FILES:]
    for each in dead:
        if each not in kept:
            (device_folder / FOLDER / each.name).unlink(missing_ok=True)


def boot_id() -> str:
    """Which start of the device this is, as its kernel calls it."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return "unknown"


def _boot() -> bytes:
    return hashlib.sha256(boot_id().encode()).digest()


def _files(device_folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from sorted((device_folder / FOLDER).iterdir(), key=lambda path: path.name.partition("-")[2])


def _read(path: Path) -> Count | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        alive = _is_held(descriptor)
        data = os.read(descriptor, _LAYOUT.size + 1)
    finally:
        os.close(descriptor)
    if len(data) != _LAYOUT.size or not data.startswith(_MAGIC):
        return None
    _, image, boot, served, errors, busy = _LAYOUT.unpack(data)
    lasts = max(clock() - busy, 1) / 1e9 if busy else 0.0
    return Count(path.name, image.hex(), served, errors, lasts, alive, boot == _boot())


def _lock(descriptor: int) -> None:
    """Lock a new file; the updater that looks at it holds it for a moment, and who means harm for longer.

    Raises:
        BlockingIOError: Somebody else has it: whoever may read a file may lock it.
    """
    for _ in range(LOCK_TRIES - 1):
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(LOCK_SECONDS)
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
