"""python-tuf's client by a clock of ours, and over folders: for devices and for whoever publishes.

Everything that reaches below tuf's public interface is here, so that one test can pin it: `ngclient` takes
the time of day itself and has no list of what a delegated role signs.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    RepositoryError,
)
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from covey.rollout.published import MODELS
from covey_io.tuf_metadata import Root, Snapshot, TargetFile, Targets, Timestamp

TOP: Final = (Root.type, Timestamp.type, Snapshot.type, Targets.type)
LIMITS: Final = UpdaterConfig(max_root_rotations=1024, max_delegations=8)
NOT_FOUND: Final = 404

_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999, the last that `datetime` knows."""
_CHUNK: Final = 1 << 16


class ClockedUpdater(Updater):
    """TUF's client workflow (specification, section 5) at a given time. For one poll.

    Args:
        root: The factory's root, as bytes.
        cache: A folder of its own; made when it is not there.
        metadata: URL of the metadata.
        fetcher: How it is asked.
        now: Unix time, seconds.

    Raises:
        RepositoryError: The factory's root is malformed.
        OSError: The cache cannot be written.
    """

    def __init__(
        self, root: bytes, cache: Path, metadata: str, fetcher: FetcherInterface, now: float
    ) -> None:
        super().__init__(str(cache), metadata, fetcher=fetcher, config=LIMITS, bootstrap=root)
        # the time is taken once, so that no metadata expires in the middle of a poll
        self._trusted_set.reference_time = datetime.fromtimestamp(min(max(now, 0), _LAST_SECOND), UTC)

    @property
    def root(self) -> Root:
        """The newest trusted root."""
        return self._trusted_set.root

    @property
    def snapshot(self) -> Snapshot:
        """The trusted snapshot; after a refresh."""
        return self._trusted_set.snapshot

    def versions(self) -> dict[str, int]:
        """Version by role, of what was verified by now: the top four, and `models` once it was asked for."""
        return {role: self._trusted_set[role].version for role in (*TOP, MODELS) if role in self._trusted_set}

    def signed_by(self, role: str) -> dict[str, TargetFile]:
        """All that a delegated role signs and may, by path; nothing if it has published nothing yet.

        Raises:
            RepositoryError: It does not verify.
            DownloadError: It cannot be had.
            OSError: The cache cannot be written.
        """
        delegations = self._trusted_set.targets.delegations
        if delegations is None or f"{role}.json" not in self.snapshot.meta:
            return {}
        delegation = (delegations.roles or {}).get(role)
        if delegation is None:
            raise RepositoryError(f"nobody is delegated {role}")
        signed = self._load_targets(role, Targets.type).targets
        return {path: target for path, target in signed.items() if delegation.is_delegated_path(path)}

    def _persist_file(self, filename: str, data: bytes) -> None:
        """As tuf does, unless that is there already: a poll without news writes nothing."""
        path = Path(filename)
        if not path.is_file() or path.read_bytes() != data:
            super()._persist_file(filename, data)


class FolderFetcher(FetcherInterface):
    """Reads `file:` URLs below folders: a repository on this disk, or on a stick.

    Args:
        folders: The first that has a file answers; a URL's path is relative to them.
    """

    BASE: Final = "file:///"

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self.requests = 0

    def _fetch(self, url: str) -> Iterator[bytes]:
        descriptor = self.open(unquote(url.removeprefix(self.BASE)))
        return _chunks(descriptor)

    def ranged(self, url: str, start: int) -> tuple[int, Iterator[bytes]]:
        """A file from byte `start` on: where it begins, and what follows. Raises as `fetch` does."""
        descriptor = self.open(unquote(url.removeprefix(self.BASE)))
        os.lseek(descriptor, start, os.SEEK_SET)
        return start, _chunks(descriptor)

    def open(self, name: str) -> int:
        """A descriptor of the first regular file of that name, for reading.

        Raises:
            DownloadHTTPError: There is none: 404, as a web server says it.
            DownloadError: It cannot be opened.
        """
        self.requests += 1
        for folder in self._folders:
            try:
                # a pipe would keep us waiting for who writes to it
                descriptor = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise DownloadError(f"{name}: {error.strerror}") from error
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
        raise DownloadHTTPError(f"{name}: no such file", NOT_FOUND)

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """As the interface says; in memory, where it has a temporary file."""
        return gathered(self.fetch(url), max_length)


def gathered(chunks: Iterator[bytes], most: int) -> bytes:
    """All of them, joined.

    Raises:
        DownloadLengthMismatchError: More than `most` bytes.
    """
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) > most:
            raise DownloadLengthMismatchError(f"more than the {most} bytes that it may have")
    return bytes(found)


def _chunks(descriptor: int) -> Iterator[bytes]:
    with os.fdopen(descriptor, "rb") as file:
        try:
            while chunk := file.read(_CHUNK):
                yield chunk
        except OSError as error:  # a stick that was pulled out
            raise DownloadError(f"cannot be read to its end: {error.strerror}") from error


def remote_name(target: TargetFile) -> str:
    """A target's file below the folder of targets, in a repository of consistent snapshots.

    Raises:
        RepositoryError: It has no SHA-256.
    """
    if "sha256" not in target.hashes:
        raise RepositoryError(f"{target.path} has no SHA-256")
    folder, slash, name = target.path.rpartition("/")
    return f"{folder}{slash}{target.hashes['sha256']}.{name}"
