"""Files of a repository on a disk or a stick, whatever lies there."""

import os
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError, RepositoryError

from covey_io.tuf_client import FolderFetcher, gathered, remote_name
from covey_io.tuf_metadata import TargetFile

BASE = FolderFetcher.BASE


@pytest.fixture
def fetcher(tmp_path: Path) -> FolderFetcher:
    (tmp_path / "over").mkdir()
    (tmp_path / "under/a").mkdir(parents=True)
    (tmp_path / "under/a/b c.json").write_bytes(b"under")
    return FolderFetcher([tmp_path / "over", tmp_path / "under"])


def test_the_first_folder_that_has_it_answers(fetcher: FolderFetcher, tmp_path: Path) -> None:
    assert fetcher.download_bytes(f"{BASE}a/b%20c.json", 5) == b"under"
    (tmp_path / "over/a").mkdir()
    (tmp_path / "over/a/b c.json").write_bytes(b"over")
    assert fetcher.download_bytes(f"{BASE}a/b%20c.json", 5) == b"over"
    assert fetcher.requests == 2


@pytest.mark.parametrize("name", ["missing", "a", "a/b%20c.json/d", "pipe"])
def test_what_is_no_file_is_not_there(fetcher: FolderFetcher, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "over/pipe")
    with pytest.raises(DownloadHTTPError) as caught:
        fetcher.download_bytes(BASE + name, 5)
    assert caught.value.status_code == 404


def test_a_name_that_is_too_long(fetcher: FolderFetcher) -> None:
    with pytest.raises(DownloadError):
        fetcher.download_bytes(BASE + "x" * 300, 5)


def test_from_a_byte_on(fetcher: FolderFetcher) -> None:
    start, chunks = fetcher.ranged(f"{BASE}a/b%20c.json", 2)
    assert (start, b"".join(chunks)) == (2, b"der")


def test_no_more_than_allowed(fetcher: FolderFetcher) -> None:
    with pytest.raises(DownloadLengthMismatchError):
        fetcher.download_bytes(f"{BASE}a/b%20c.json", 4)
    assert gathered(iter([b"a", b"b"]), 2) == b"ab"


def test_names_of_consistent_snapshots() -> None:
    target = TargetFile.from_data("models/m/1.covey", b"x", ["sha256"])
    assert remote_name(target) == f"models/m/{target.hashes['sha256']}.1.covey"
    with pytest.raises(RepositoryError, match="no SHA-256"):
        remote_name(TargetFile.from_data("a", b"x", ["sha512"]))
