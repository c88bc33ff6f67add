"""Releases over TUF (theupdateframework.github.io/specification): static files from a web server or a stick.

What is believed begins with the root that the device left the factory with, at every poll; the folder is a
cache and may be lost. What a lost cache would forget, the versions that were seen, is for the caller to keep.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from tuf.api.exceptions import (
    DownloadError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)

from covey.errors import InputError, ProtocolError
from covey.rollout import instruction as instructions
from covey.rollout.plan import Image
from covey.rollout.published import MODELS, ROLLOUT, from_custom, same_release
from covey_client.repository_download import download
from covey_client.repository_http import HttpFetcher, Patience
from covey_client.source import Offered, SourceExpired, SourceRefused, SourceUnreachable
from covey_io import durable
from covey_io.tuf_client import TOP, ClockedUpdater, FolderFetcher, gathered, remote_name
from covey_io.tuf_metadata import Metadata, Root, Snapshot, TargetFile, Timestamp

_CACHE: Final = "metadata"
_INSTRUCTION: Final = "instruction.json"


class Repository:
    """A `covey_client.source.Source` over TUF.

    Args:
        root: The factory's root metadata; any version that the fleet's root keys signed.
        folder: A cache of its own; made when it is not there.
        address: http or https URL, `file:` URL, or path of the folder with `metadata/` and `targets/`.
        now: The device's corrected clock: unix time, seconds.
        floors: Versions by role that were seen before, from `versions`: nothing older is believed.
        ca: Who may certify an https server, beside whom the system believes.
        patience: How long an answer may take.

    Raises:
        InputError: The root or the address cannot be used.
    """

    def __init__(  # noqa: PLR0913 - the last three have defaults
        self,
        root: bytes,
        folder: Path,
        address: str,
        now: Callable[[], float],
        *,
        floors: Mapping[str, int] | None = None,
        ca: Path | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._root = root
        self._folder = folder
        self._address = address.rstrip("/")
        self._now = now
        self._seen = dict(floors or {})
        self._ca = ca
        self._patience = patience or Patience()
        self.requests = 0
        """Requests, or files opened, since it was made."""
        _check_root(root)
        with self._transport():
            pass

    def versions(self) -> dict[str, int]:
        """Newest version by role that was verified: root, timestamp, snapshot, targets and models.

        For whoever keeps them outside the cache, and gives them as `floors` after a start.
        """
        return dict(self._seen)

    def check(self) -> Offered | None:
        """See `Source.check`."""
        with _translated(), self._polled() as (updater, transport):
            floor = _floors(updater.signed_by(MODELS))
            self._remember(updater)
            found = updater.signed_by(ROLLOUT).get(instructions.TARGET)
            if found is None:
                return None
            return Offered(self._instruction(found, transport), floor)

    def fetch(self, image: Image, part: Path, watch: Callable[[int, int], None]) -> None:
        """See `Source.fetch`."""
        with _dropping(part), _translated(), self._polled() as (updater, transport):
            releases = updater.signed_by(MODELS)
            self._remember(updater)
            target = _named(releases.get(image.target), image)
            download(transport, transport.url(target), target, part, watch)

    @contextmanager
    def _polled(self) -> Iterator[tuple[ClockedUpdater, "_Transport"]]:
        """What the fleet publishes now, verified and not older than what was seen."""
        with self._transport() as transport:
            try:
                yield self._refreshed(transport), transport
            finally:
                self.requests += transport.requests

    def _refreshed(self, transport: "_Transport") -> ClockedUpdater:
        try:
            updater = self._updated(transport)
        except OSError:
            # a cache that cannot be read or written, if anything: what is to be believed does not rest on it
            shutil.rmtree(self._folder, ignore_errors=True)
            updater = self._updated(transport)
        self._check_floors(updater)
        return updater

    def _updated(self, transport: "_Transport") -> ClockedUpdater:
        durable.make_folder(self._folder)
        cache = self._folder / _CACHE
        base = f"{transport.base}metadata/"
        updater = ClockedUpdater(self._root, cache, base, transport.fetcher, self._now())
        updater.refresh()
        return updater

    def _check_floors(self, updater: ClockedUpdater) -> None:
        found = updater.versions()
        for role in TOP:
            least = self._seen.get(role, 0)
            if found[role] < least and not self._is_new_start(role, updater.root):
                raise _older(role, found[role], least)

    def _remember(self, updater: ClockedUpdater) -> None:
        """What was verified is the least from now on.

        Raises:
            SourceRefused: The releases' own metadata is older than what was seen. It has no new start with
                other keys: a fleet whose release key was stolen goes on counting above.
        """
        found, least = updater.versions(), self._seen.get(MODELS, 0)
        if found.get(MODELS, 0) < least:
            raise _older(MODELS, found.get(MODELS, 0), least)
        self._seen = found

    def _is_new_start(self, role: str, root: Root) -> bool:
        """Whether a role counts anew: its keys are others than under the root that was seen with them.

        So a fleet recovers from whoever stole an online key and counted to the end (specification, 5.3.11).
        """
        before = self._root_seen(root)
        roles = (Timestamp.type, Snapshot.type) if role in {Timestamp.type, Snapshot.type} else (role,)
        return role != Root.type and any(
            not set(before.roles[each].keyids) & set(root.roles[each].keyids) for each in roles
        )

    def _root_seen(self, root: Root) -> Root:
        """The trusted root of the version that was seen; the chain up to the newest was just verified."""
        version = self._seen.get(Root.type, root.version)
        path = self._folder / _CACHE / "root_history" / f"{version}.root.json"
        try:
            return Metadata[Root].from_bytes(path.read_bytes()).signed
        except (OSError, RepositoryError):  # the factory's root is newer than what was seen
            return root

    def _instruction(self, target: TargetFile, transport: "_Transport") -> bytes:
        if target.length > instructions.MAX_INSTRUCTION_BYTES:
            raise SourceRefused(f"an instruction of {target.length} bytes")
        kept = self._folder / _INSTRUCTION
        try:
            data = kept.read_bytes()
            target.verify_length_and_hashes(data)
        except (OSError, RepositoryError):
            _, chunks = transport.ranged(transport.url(target), 0)
            data = gathered(chunks, target.length)
            target.verify_length_and_hashes(data)
            durable.replace(kept, data)
        return data

    @contextmanager
    def _transport(self) -> Iterator["_Transport"]:
        parts = urlsplit(self._address)
        if parts.scheme in {"http", "https"}:
            http = HttpFetcher(self._address, self._patience, self._ca)
            try:
                yield _Transport(f"{self._address}/", http)
            finally:
                http.close()
        elif parts.scheme in {"", "file"}:
            folder = Path(unquote(parts.path) if parts.scheme else self._address)
            yield _Transport(FolderFetcher.BASE, FolderFetcher([folder]))
        else:
            raise InputError(f"{self._address!r} is no address", hint="an https URL, or a folder")


class _Transport:
    """Where a poll's files come from."""

    def __init__(self, base: str, fetcher: HttpFetcher | FolderFetcher) -> None:
        self.base = base
        self.fetcher = fetcher
        self.ranged = fetcher.ranged

    @property
    def requests(self) -> int:
        return self.fetcher.requests

    def url(self, target: TargetFile) -> str:
        return f"{self.base}targets/{quote(remote_name(target))}"


def _floors(targets: Mapping[str, TargetFile]) -> dict[str, int]:
    floors: dict[str, int] = {}
    for target in targets.values():
        published = from_custom(target.custom, blame="operator")
        floors[published.name] = max(published.floor, floors.get(published.name, 0))
    return floors


def _named(target: TargetFile | None, image: Image) -> TargetFile:
    """The target of an image, if the release key signed what the instruction says of it."""
    if target is None:
        raise SourceRefused(f"{image.target} was never published", hint="publish the release first")
    if not same_release(from_custom(target.custom, blame="operator"), image):
        raise SourceRefused(f"{image.target} is not the release that the instruction names")
    if (target.length, target.hashes.get("sha256")) != (image.bytes, image.sha256):
        raise SourceRefused(f"{image.target} is not the file that the instruction names")
    return target


def _check_root(root: bytes) -> None:
    try:
        read = Metadata[Root].from_bytes(root)
        read.signed.verify_delegate(Root.type, read.signed_bytes, read.signatures)
    except (RepositoryError, ValueError, AttributeError) as error:  # other metadata has no delegates
        raise InputError(
            f"the factory's root cannot be used: {error}", hint="copy 1.root.json of the fleet's repository"
        ) from error


def _older(role: str, found: int, least: int) -> SourceRefused:
    return SourceRefused(f"{role} of version {found}, and version {least} was seen before")


@contextmanager
def _dropping(part: Path) -> Iterator[None]:
    """What was refused leaves nothing behind."""
    try:
        yield
    except SourceRefused:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _translated() -> Iterator[None]:
    """What tuf raises, as the updater tells it apart."""
    try:
        yield
    except ExpiredMetadataError as error:
        raise SourceExpired(str(error), hint="the fleet's keys must renew it: covey keys status") from error
    except DownloadLengthMismatchError as error:
        raise SourceRefused(str(error)) from error
    except DownloadError as error:  # the error of a server that is too slow may have no text
        raise SourceUnreachable(str(error) or "no answer in time") from error
    except (RepositoryError, ProtocolError, ValueError) as error:
        raise SourceRefused(f"{type(error).__name__}: {error}") from error
