"""One process at a time: an advisory lock that goes with the process, so that a crash leaves none behind."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from covey.errors import CoveyError


@contextmanager
def held(path: Path, refusal: CoveyError | None, *, make: bool = True) -> Iterator[None]:
    """Hold `path`, a folder or a file, until the block ends.

    Args:
        path: What is locked (flock(2)).
        refusal: Raised when another process holds it; None to wait until it does not.
        make: Whether a file is made where nothing is; without, `path` is a folder that must be there.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() or not make else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    try:
        _lock(descriptor, refusal)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, refusal: CoveyError | None) -> None:
    if refusal is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise refusal from error
