"""A TUF repository's files: what is published, and what still waits for signatures.

    REPO/metadata/N.root.json, timestamp.json, N.ROLE.json    for a web server
    REPO/targets/…                                            for a web server
    REPO/staged/metadata/ROLE.json, staged/targets/…          nothing secret, and for no web server

What counts is what the timestamp leads to: a publication that was stopped leaves files that nobody asks for.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tuf.api.exceptions import RepositoryError

from covey.errors import InputError, StateError
from covey_io import durable
from covey_io.lock import held
from covey_io.tuf_metadata import Metadata, TargetFile
from covey_server.tuf_roles import ROOT, SNAPSHOT, TIMESTAMP

METADATA: Final = "metadata"
TARGET_FILES: Final = "targets"
STAGED: Final = "staged"

AnyMetadata = Metadata[Any]


@dataclass(frozen=True)
class Draft:
    """What is to be published together.

    Attributes:
        metadata: New versions by role, signed or not.
        targets: Content by name below `targets/`.
        hold: Snapshot and timestamp hold so many seconds this once; None for their usual time.
    """

    metadata: dict[str, AnyMetadata]
    targets: dict[str, bytes] = field(default_factory=dict)
    hold: int | None = None


@dataclass(frozen=True)
class Files:
    """A repository on this disk.

    Attributes:
        repo: Its folder.
    """

    repo: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One publisher at a time: a timer and a rollout wait for each other."""
        durable.make_folder(self.repo / METADATA)
        with held(self.repo, None):
            yield

    @property
    def factory_root(self) -> bytes:
        """The first root, which devices leave the factory with.

        Raises:
            InputError: Nothing is published here yet.
        """
        try:
            return (self.repo / METADATA / "1.root.json").read_bytes()
        except OSError as error:
            raise InputError(f"{self.repo} has no root yet", hint="covey keys init, then sign") from error

    def current(self, role: str) -> AnyMetadata | None:
        """What is published of a role; None if nothing is.

        Raises:
            StateError: It is damaged.
        """
        if role == ROOT:
            return self._root()
        if role == TIMESTAMP:
            return self._read(f"{TIMESTAMP}.json")
        of = self.current(TIMESTAMP if role == SNAPSHOT else SNAPSHOT)
        if of is None:
            return None
        meta = of.signed.snapshot_meta if role == SNAPSHOT else of.signed.meta.get(f"{role}.json")
        return None if meta is None else self._read(f"{meta.version}.{role}.json")

    def needed(self, role: str) -> AnyMetadata:
        """As `current`.

        Raises:
            InputError: Nothing is published of it.
        """
        found = self.current(role)
        if found is None:
            raise InputError(f"{self.repo} has no {role} yet", hint="covey keys init, then sign")
        return found

    def target(self, target: TargetFile) -> Path:
        """A target's file."""
        folder, slash, name = target.path.rpartition("/")
        return self.repo / TARGET_FILES / f"{folder}{slash}{target.hashes['sha256']}.{name}"

    def _root(self) -> AnyMetadata | None:
        version = 0
        while (self.repo / METADATA / f"{version + 1}.root.json").exists():
            version += 1
        return self._read(f"{version}.root.json") if version else None

    def _read(self, name: str) -> AnyMetadata | None:
        return _read(self.repo / METADATA / name)

    def staged(self) -> Draft | None:
        """What waits for signatures; None if nothing does."""
        folder = self.repo / STAGED
        metadata: dict[str, AnyMetadata] = {}
        for path in sorted((folder / METADATA).glob("*.json")):
            found = _read(path)
            if found is not None:
                metadata[path.stem] = found
        if not metadata:
            return None
        below = folder / TARGET_FILES
        targets = {str(p.relative_to(below)): p.read_bytes() for p in below.rglob("*") if p.is_file()}
        return Draft(metadata, targets)

    def stage(self, draft: Draft) -> None:
        """Keep a draft until its signatures are there."""
        folder = self.repo / STAGED
        for name, content in draft.targets.items():
            _put(folder / TARGET_FILES / name, content)
        for role, metadata in draft.metadata.items():
            _put(folder / METADATA / f"{role}.json", metadata.to_bytes())

    def unstage(self) -> None:
        """Forget what was staged."""
        if (self.repo / STAGED).exists():
            shutil.rmtree(self.repo / STAGED)
            durable.sync_folder(self.repo)

    def write(self, name: str, content: bytes) -> None:
        """Put a file below the repository's folder, whole or not at all."""
        _put(self.repo / name, content)


def _put(path: Path, content: bytes) -> None:
    durable.make_folder(path.parent)
    durable.replace(path, content)


def _read(path: Path) -> AnyMetadata | None:
    try:
        return Metadata.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, RepositoryError) as error:
        raise StateError(f"{path} is damaged: {error}", hint="put it back as it was") from error
