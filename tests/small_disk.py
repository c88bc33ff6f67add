"""A disk that is full, as the kernel has it: a small tmpfs that answers ENOSPC."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str = "2m") -> Iterator[Path]:
    """A file system of its own at a folder that is made for it; gone at the end, whoever still holds it.

    Args:
        folder: Where.
        size: As mount's tmpfs has it; whole pages.
    """
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, *, free: int = 0) -> Path:
    """Fill it.

    Args:
        folder: On the small disk.
        free: Bytes that stay; whole pages.

    Returns:
        The file that fills it: unlink it to make room.
    """
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    if free:
        os.truncate(filler, max(0, filler.stat().st_size - free))
    return filler
