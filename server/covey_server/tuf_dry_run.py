"""A device asks for what is about to be published, before anybody else can (design/edge.md, pitfall 7).

One malformed root would keep every device from every later one, for ever.
"""

import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from tuf.api.exceptions import DownloadError, RepositoryError

from covey.errors import CoveyError
from covey.rollout.published import PATHS, from_custom
from covey_io.tuf_client import ClockedUpdater, FolderFetcher, remote_name
from covey_io.tuf_metadata import TargetFile
from covey_server.tuf_files import Files
from covey_server.tuf_roles import TOP


def dry_run(repo: Path, new: Mapping[str, bytes], now: float) -> None:
    """Let a new device and one that is up to date fetch everything.

    Args:
        repo: The repository as it is published.
        new: What would be written, by name below its folder.
        now: Unix time, seconds.

    Raises:
        CoveyError: A device could not follow. Nothing is to be published.
    """
    files = Files(repo)
    with tempfile.TemporaryDirectory(prefix="covey-dry-run-") as made:
        over = Path(made) / "over"
        for name, content in new.items():
            path = over / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        factory = new.get("metadata/1.root.json") or files.factory_root
        before = FolderFetcher([repo])
        with suppress(RepositoryError, DownloadError):  # a first publication, or one that repairs
            _follow(factory, Path(made) / "known", before, _in_time(files, now, ()))
        at = _in_time(files, now, [Path(name).stem.rpartition(".")[2] for name in new])
        after = FolderFetcher([over, repo])
        try:
            for cache in ("new", "known"):
                for target in _follow(factory, Path(made) / cache, after, at):
                    _fetch_if_new(after, target, new)
        except (RepositoryError, DownloadError, CoveyError) as error:
            raise CoveyError(
                f"devices could not follow: {type(error).__name__}: {error}",
                hint="nothing was published: put right what it names, and publish again",
            ) from error


def _follow(factory: bytes, cache: Path, fetcher: FolderFetcher, now: float) -> list[TargetFile]:
    """What a device sees, all roles that it may ever ask for."""
    updater = ClockedUpdater(factory, cache, f"{FolderFetcher.BASE}metadata/", fetcher, now)
    updater.refresh()
    found = {role: updater.signed_by(role) for role in PATHS}
    for target in found["models"].values():
        from_custom(target.custom, blame="operator")
    return [target for signed in found.values() for target in signed.values()]


def _fetch_if_new(fetcher: FolderFetcher, target: TargetFile, new: Mapping[str, bytes]) -> None:
    name = f"targets/{remote_name(target)}"
    if name in new:
        target.verify_length_and_hashes(fetcher.download_bytes(FolderFetcher.BASE + name, target.length))


def _in_time(files: Files, now: float, but: Collection[str]) -> float:
    """Now, or the last moment at which what is published could be followed, but for some roles.

    What expired is for its holder to renew, and keeps nobody else from renewing theirs: each would wait for
    the other.
    """
    expires: list[float] = [
        (found.signed.expires - timedelta(seconds=1)).timestamp()
        for found in (files.current(role) for role in (*TOP, *PATHS) if role not in but)
        if found is not None
    ]
    return min([now, *expires])
