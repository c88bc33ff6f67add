"""Writes that survive a power cut: temporary file, fsync, rename, fsync of the folder.

After `replace` or `append` returns, the bytes are on disk; before it returns, a reader sees the old
content or the new, never a part (POSIX rename(2); a torn last line of an append-only log is for its
reader to drop).
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put `data` at `path`, whole or not at all.

    Args:
        path: The file to replace; its folder must exist.
        data: The new content.
        mode: Permission bits, set before any content is written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with _named(path), os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def append(path: Path, line: bytes) -> None:
    """Append one line (ending in a newline) to a log and fsync it.

    Args:
        path: The log; made when it is not there.
        line: Complete bytes of one line.
    """
    new = not path.exists()
    with _named(path), path.open("ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if new:
        sync_folder(path.parent)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever fails says where: a write to a full disk by itself does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def check_room(folder: Path, size: int) -> None:
    """Refuse to begin what could not be written down at its end.

    Args:
        folder: On the disk that matters.
        size: Bytes that must be free there.

    Raises:
        OSError: There are fewer.
    """
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def sync(path: Path) -> None:
    """Flush a file and its name to disk: whoever wrote it may have died before that."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(path.parent)


def make_folder(path: Path, *, mode: int = 0o755) -> None:
    """Make a folder and its parents, durably."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=mode, exist_ok=True)
    sync_folder(path.parent)


def swap_link(link: Path, target: str) -> None:
    """Point the symbolic link `link` at `target` in one step: a reader sees the old target or the new."""
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
    sync_folder(link.parent)


def sync_folder(path: Path) -> None:
    """Flush a folder's own entries (renames, new names) to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
