"""Fetches one large file to where it is wanted, going on after every stop, and believes it only whole.

tuf's own download begins anew each time and writes in place (design/edge.md, pitfall 5).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from tuf.api.exceptions import DownloadHTTPError, DownloadLengthMismatchError, LengthOrHashMismatchError

from covey_io import durable
from covey_io.tuf_metadata import TargetFile

Watch = Callable[[int, int], None]
"""Told bytes there are, and bytes in all."""

_RANGE_NOT_SATISFIABLE = 416


class Ranged(Protocol):
    """Where files come from."""

    def ranged(self, url: str, start: int) -> tuple[int, Iterator[bytes]]:
        """A file from byte `start` on, or from 0 where that cannot be had: which, and what follows.

        Raises:
            DownloadError: No usable answer, at once or while it is read.
        """


def download(source: Ranged, url: str, target: TargetFile, part: Path, watch: Watch) -> None:
    """Fetch a target into `part`; verified and on disk when it returns.

    A beginning that turns out not to belong to the target is fetched once more, from its first byte: it may
    be of another release, or damaged by a power cut, which is no fault of who answers.

    Args:
        source: Whom to ask.
        url: For what.
        target: Its length and SHA-256, as they were signed.
        part: Where; may hold a beginning.
        watch: Told after every piece.

    Raises:
        DownloadError: Cut off; what came is kept.
        DownloadLengthMismatchError: More than the target has; nothing is kept.
        LengthOrHashMismatchError: Not the target; nothing is kept.
        OSError: The disk does not take it.
    """
    resumed = _fetched(source, url, target, part, watch)
    try:
        _verify(target, part)
    except LengthOrHashMismatchError:
        part.unlink()
        if not resumed:
            raise
        _fetched(source, url, target, part, watch)
        _verify_or_drop(target, part)
    durable.sync(part)


def _verify(target: TargetFile, part: Path) -> None:
    with part.open("rb") as file:
        target.verify_length_and_hashes(file)


def _verify_or_drop(target: TargetFile, part: Path) -> None:
    try:
        _verify(target, part)
    except LengthOrHashMismatchError:
        part.unlink()
        raise


def _fetched(source: Ranged, url: str, target: TargetFile, part: Path, watch: Watch) -> bool:
    """Whether something of what is there now was there before."""
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        have = os.fstat(file.fileno()).st_size
        if have == target.length:
            return True
        if have > target.length:
            have = 0
        start, chunks = _from(source, url, have)
        file.truncate(start)
        file.seek(start)
        try:
            _write(file, start, target.length, chunks, watch)
        except DownloadLengthMismatchError:
            part.unlink()
            raise
        finally:
            with suppress(OSError):  # what failed says so itself
                file.flush()
                os.fsync(file.fileno())
    return start > 0


def _from(source: Ranged, url: str, have: int) -> tuple[int, Iterator[bytes]]:
    try:
        return source.ranged(url, have)
    except DownloadHTTPError as error:
        if error.status_code != _RANGE_NOT_SATISFIABLE:
            raise
        return source.ranged(url, 0)


def _write(file: IO[bytes], start: int, length: int, chunks: Iterator[bytes], watch: Watch) -> None:
    there = start
    for chunk in chunks:
        if there + len(chunk) > length:
            raise DownloadLengthMismatchError(f"more than the {length} bytes that it has")
        file.write(chunk)
        there += len(chunk)
        watch(there, length)
