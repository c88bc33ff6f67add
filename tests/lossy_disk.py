"""A disk that loses what was not flushed: a power cut leaves of every file something it was since then.

The programs under test work on a real folder. Their flushes (fsync) are noted: of a file its content, of a
folder its entries. After a cut, `after_cut` builds in another folder what the disk might hold: of each folder
its entries as flushed, or at any later moment; of each file its content as flushed, or all or a part of what
was written since. Folders and files are told apart by their inodes, which are kept from being used again.
"""

import os
import random
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


class PowerCut(BaseException):
    """The device loses power."""


@dataclass(frozen=True)
class Entry:
    """What a name in a folder stands for: a file or folder by its inode, or a link by its target."""

    kind: str
    inode: int
    target: str = ""


Listing = dict[str, Entry]
STEPS = (
    (os, "fsync"),
    (Path, "replace"),
    (Path, "unlink"),
    (Path, "mkdir"),
    (Path, "symlink_to"),
    (shutil, "rmtree"),
)


class LossyDisk:
    """Watches a folder.

    Args:
        root: The folder; what it holds now is on the disk.
        cut_at: The power is cut at this step that touches the disk, from 1; 0 for never.
        after: Whether that step is still done.
    """

    def __init__(self, root: Path, cut_at: int = 0, *, after: bool = False) -> None:
        self.root = root
        self.steps = 0
        self._cut_at = cut_at
        self._after = after
        self._kept: dict[int, int] = {}
        self._contents: dict[int, bytes] = {}
        self._modes: dict[int, int] = {}
        self._histories: dict[int, list[Listing]] = {}
        self._note()
        for inode, descriptor in self._kept.items():
            if stat.S_ISREG(self._modes[inode]):
                self._contents[inode] = _content(descriptor)

    def attach(self, patch: pytest.MonkeyPatch) -> None:
        """Watch every step that touches the disk, and cut the power at one of them."""
        for owner, name in STEPS:
            patch.setattr(owner, name, self._step(name, getattr(owner, name)))

    def _step(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def done(*arguments: Any, **options: Any) -> Any:
            self.steps += 1
            if self.steps == self._cut_at and not self._after:
                self._note()
                raise PowerCut
            self._note()
            result = act(*arguments, **options)
            self._note()
            if name == "fsync":
                self._flushed(arguments[0])
            if self.steps == self._cut_at:
                raise PowerCut
            return result

        return done

    def _note(self) -> None:
        """Add to every folder's history what it holds now."""
        found: set[int] = set()
        self._visit(self.root, found)
        for inode in self._histories.keys() - found:
            if self._histories[inode][-1]:
                self._histories[inode].append({})

    def _visit(self, folder: Path, found: set[int]) -> int:
        inode = self._keep(folder)
        found.add(inode)
        listing: Listing = {}
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            path = folder / entry.name
            if entry.is_symlink():
                listing[entry.name] = Entry("link", 0, str(path.readlink()))
            elif entry.is_dir():
                listing[entry.name] = Entry("dir", self._visit(path, found))
            else:
                listing[entry.name] = Entry("file", self._keep(path))
        history = self._histories.setdefault(inode, [listing])
        if history[-1] != listing:
            history.append(listing)
        return inode

    def _keep(self, path: Path) -> int:
        """An inode that is held open is not used again for something else."""
        inode = path.lstat().st_ino
        if inode not in self._kept:
            self._kept[inode] = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            self._modes[inode] = os.fstat(self._kept[inode]).st_mode
        return inode

    def _flushed(self, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        if inode not in self._kept:
            return
        if inode in self._histories:
            del self._histories[inode][:-1]
        else:
            self._contents[inode] = _content(self._kept[inode])

    def after_cut(self, where: Path, chance: random.Random) -> None:
        """Build in `where` what the disk might hold."""
        self._build(self.root.stat().st_ino, where, chance)

    def _build(self, inode: int, where: Path, chance: random.Random) -> None:
        where.mkdir()
        history = self._histories[inode]
        listing = chance.choice([history[0], history[-1], chance.choice(history)])
        for name, entry in listing.items():
            match entry.kind:
                case "link":
                    (where / name).symlink_to(entry.target)
                case "dir":
                    self._build(entry.inode, where / name, chance)
                case _:
                    (where / name).write_bytes(self._survives(entry.inode, chance))

    def _survives(self, inode: int, chance: random.Random) -> bytes:
        flushed, now = self._contents.get(inode), _content(self._kept[inode])
        if flushed == now:
            return now
        return chance.choice([flushed or b"", now, now[: chance.randrange(len(now) + 1)]])

    def close(self) -> None:
        """Let go of all inodes."""
        while self._kept:
            os.close(self._kept.popitem()[1])


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
