"""Records examples for training: what an application calls, in a process and under a user of its own.

    with Recorder(Path("/var/lib/covey-data"), shape=(6, 128)) as recorder:
        recorder.append(window, label)

When `append` returns, the example is recorded, whatever happens to the process; by default it is also on the
disk. Training sees sealed shards only (`covey_client.data_folder`): files that never change. An example is a
unit of privacy: give each one once, and no windows that overlap.

The folder: `.open`, the segment that is appended to, and shards `NUMBER-BEGUN-CHANCE.npz`. It is locked while
a recorder writes. Its group may be the agent's, which removes what is too old (`covey_client.retention`).
"""

import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self, SupportsInt

import numpy as np
from numpy.typing import ArrayLike

from covey.errors import CoveyError, DataError, InputError, StateError
from covey.examples import Examples, Floats
from covey_client import segments
from covey_client.segments import OPEN, Header
from covey_io import durable
from covey_io.lock import held

SEAL_EXAMPLES: Final = 1000
SEAL_SECONDS: Final = 6 * 3600.0
_MODE: Final = 0o640
_BUSY: Final = "one recorder at a time writes to a folder; give each application a folder of its own"


class Recorder:
    """Appends examples to a folder. For one thread.

    Args:
        folder: Made if it is not there.
        shape: Of one input, channels first, without the axis of examples.
        seal_examples: A shard is sealed when it has so many,
        seal_seconds: or is so old; looked at when something is appended.
        sync_seconds: Between an fsync and the next, at least; 0 for one with each example. A crash of the
            application, however hard, costs nothing in either case; a power cut what came since the last.
        clock: Unix seconds.
        log: Takes one line about what was found damaged.

    Raises:
        StateError: Another recorder writes there, or the open segment is damaged.
        InputError: What is recorded there has another shape.
    """

    def __init__(  # noqa: PLR0913 - each named at the call
        self,
        folder: Path,
        shape: tuple[int, ...],
        *,
        seal_examples: int = SEAL_EXAMPLES,
        seal_seconds: float = SEAL_SECONDS,
        sync_seconds: float = 0.0,
        clock: Callable[[], float] = time.time,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._shape = tuple(shape)
        self._seal_examples = seal_examples
        self._seal_seconds = seal_seconds
        self._sync_seconds = sync_seconds
        self._clock = clock
        self._log = log
        self._must_seal = False
        durable.make_folder(folder, mode=0o770)
        with ExitStack() as stack:
            stack.enter_context(
                held(folder, StateError(f"{folder}: another recorder writes here", hint=_BUSY))
            )
            self._current = self._found()
            self._stack = stack.pop_all()

    @property
    def waiting(self) -> int:
        """Examples that are recorded and not sealed yet."""
        return 0 if self._current is None else self._current.places

    def append(self, x: ArrayLike, y: SupportsInt) -> None:
        """Record one example.

        Args:
            x: Finite numbers of the recorder's shape.
            y: Its class.

        Raises:
            DataError: It is no example; nothing was recorded.
            CoveyError: The disk does not take it; it is not recorded, and may be tried again.
        """
        checked, label = _checked(x, self._shape), _label(y)
        try:
            if self._is_due():
                self.seal()
            self._current = self._current or self._begun()
            self._current.append(checked, label, self._sync_seconds)
        except OSError as error:
            raise CoveyError(
                f"{self._folder}: not recorded: {(error.strerror or str(error)).lower()}",
                hint="see that the disk has room and can be written",
            ) from error
        if self._is_due():
            with suppress(OSError):  # tried again before the next example; this one is recorded
                self.seal()

    def seal(self) -> Path | None:
        """Make a shard of what is waiting, for training to see; None if nothing is.

        Raises:
            OSError: The disk does not take it; everything is still waiting.
        """
        current = self._current
        if current is None or not current.places:
            return None
        self._must_seal = True  # a shard that may be there already never gets another content
        shard = self._folder / current.header.shard
        durable.replace(shard, _npz(current.examples(self._log)), mode=_MODE)
        self._must_seal, self._current = False, None
        current.close()
        (self._folder / OPEN).unlink()
        durable.sync_folder(self._folder)
        return shard

    def close(self) -> None:
        """Stop recording; what is waiting goes on waiting, for the next recorder."""
        with self._stack:
            if self._current is not None:
                self._current.sync()
                self._current.close()
                self._current = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_due(self) -> bool:
        current = self._current
        if current is None or not current.places:
            return False
        age = abs(self._clock() - current.header.begun)  # a clock that was put back makes none immortal
        return self._must_seal or current.places >= self._seal_examples or age >= self._seal_seconds

    def _begun(self) -> "_OpenSegment":
        """A new segment."""
        begun = max(int(self._clock()), 0)
        shard = f"{_next_number(self._folder):08d}-{begun}-{secrets.token_hex(4)}.npz"
        header = Header(self._shape, begun, shard)
        data = segments.begin(header)
        durable.replace(self._folder / OPEN, data, mode=_MODE)
        return _OpenSegment(self._folder / OPEN, header, 0, len(data))

    def _found(self) -> "_OpenSegment | None":
        """The segment that the last recorder left; None if it was sealed, or there is none."""
        path = self._folder / OPEN
        if not path.exists():
            return None
        segment = segments.read(path.read_bytes(), str(path))
        if (self._folder / segment.header.shard).exists() or not segment.places:
            path.unlink()
            durable.sync_folder(self._folder)
            return None
        if segment.header.shape != self._shape:
            raise InputError(
                f"{path}: inputs of shape {segment.header.shape} wait here, not {self._shape}",
                hint="record into another folder, or seal these with a recorder of their shape",
            )
        return _OpenSegment(path, segment.header, segment.places, segment.begin)


class _OpenSegment:
    """The file that is appended to. What a failed write left is written over by the next."""

    def __init__(self, path: Path, header: Header, places: int, begin: int) -> None:
        self.header = header
        self.places = places
        self._path = path
        self._begin = begin
        self._synced = -float("inf")
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def append(self, x: Floats, y: int, sync_seconds: float) -> None:
        """Write a record, and see that it is on the disk if it is time for that."""
        record = segments.record(self.places, x, y)
        _write(self._descriptor, record, self._begin + self.places * len(record))
        if time.monotonic() - self._synced >= sync_seconds:
            self.sync()
        self.places += 1

    def examples(self, log: Callable[[str], None]) -> Examples:
        """What is recorded in it, and whole."""
        end = self._begin + self.places * self.header.record_bytes
        segment = segments.read(os.pread(self._descriptor, end, 0), str(self._path))
        if damaged := self.places - len(segment.examples):
            log(f"{self._path}: {damaged} examples are damaged and left out")
        return segment.examples

    def sync(self) -> None:
        """See that all of it is on the disk."""
        os.fdatasync(self._descriptor)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Nothing is written any more."""
        os.close(self._descriptor)


def _write(descriptor: int, data: bytes, at: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], at + done)


def _checked(x: ArrayLike, shape: tuple[int, ...]) -> Floats:
    try:
        with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused below
            checked = np.asarray(x, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"an example that is no array of numbers: {error}") from error
    if checked.shape != shape:
        raise DataError(f"an example of shape {checked.shape}, expected {shape}")
    if not np.isfinite(checked).all():
        raise DataError("an example with values that are not finite in float32")
    return checked


def _label(y: SupportsInt) -> int:
    label = int(y)
    if label != y or not 0 <= label < 1 << 62:
        raise DataError(f"label {y!r}, expected a class: a whole number from 0")
    return label


def _npz(examples: Examples) -> bytes:
    data = BytesIO()
    np.savez(data, x=examples.x, y=examples.y)
    return data.getvalue()


def _next_number(folder: Path) -> int:
    names = (path.name for path in folder.iterdir() if re.fullmatch(segments.NAME, path.name))
    return max((int(name.partition("-")[0]) for name in names), default=0) + 1
