"""The archive has one spelling, and nothing else gets in."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.errors import PackageError
from covey.package.archive import pack, unpack
from covey.package.names import MAX_FILES, MAX_NAME

FILES = {"b/c.txt": b"two", "a.txt": b"one", "empty": b"", "block": b"x" * 512}
PARTS = st.text("abcXYZ019._-", min_size=1, max_size=12).filter(lambda part: part not in {".", ".."})


def test_the_same_files_in_any_order_give_the_same_bytes() -> None:
    assert pack(FILES) == pack(dict(reversed(FILES.items())))


@given(st.dictionaries(PARTS, st.binary(max_size=1100), max_size=5))
@settings(deadline=None)
def test_unpack_is_the_inverse_of_pack(files: dict[str, bytes]) -> None:
    assert unpack(pack(files)) == files


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_mutated_archive_is_refused_or_is_again_what_pack_writes(data: st.DataObject) -> None:
    archive = bytearray(pack(FILES))
    for _ in range(data.draw(st.integers(1, 3))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    mutated = bytes(archive)
    try:
        files = unpack(mutated)
    except PackageError:
        return
    assert pack(files) == mutated


@given(st.binary(max_size=2048))
@settings(deadline=None)
def test_any_bytes_are_refused_or_are_what_pack_writes(data: bytes) -> None:
    try:
        files = unpack(data)
    except PackageError:
        return
    assert pack(files) == data


@given(st.integers(0, len(pack(FILES)) - 1))
@settings(deadline=None)
def test_every_truncation_is_refused(length: int) -> None:
    with pytest.raises(PackageError):
        unpack(pack(FILES)[:length])


def test_a_truncation_names_the_file_that_it_cuts() -> None:
    with pytest.raises(PackageError, match=r"b/c\.txt is cut short"):
        unpack(pack({"b/c.txt": b"two"})[:513])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(PackageError, match="other than the end"):
        unpack(pack(FILES) + b"\0")


def test_a_file_given_twice_is_refused() -> None:
    member = pack({"a": b"1"})[:1024]
    with pytest.raises(PackageError, match="twice"):
        unpack(member + member + bytes(1024))


def test_files_out_of_order_are_refused() -> None:
    with pytest.raises(PackageError, match="out of order"):
        unpack(pack({"b": b"1"})[:1024] + pack({"a": b"1"})[:1024] + bytes(1024))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_what_is_not_a_regular_file_is_refused(kind: bytes) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo("evil")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(PackageError, match="evil"):
        unpack(buffer.getvalue())


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../up", "a/../../b", "a//b", "", ".", "a/.", "a b", "ä", "a\\b", "a\n", "x" * 100],
)
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(PackageError):
        pack({name: b""})


def test_the_longest_name_survives() -> None:
    name = "x" * MAX_NAME
    assert unpack(pack({name: b"1"})) == {name: b"1"}


def test_a_file_that_is_also_a_folder_is_refused() -> None:
    with pytest.raises(PackageError, match="a/b"):
        pack({"a": b"", "a-b": b"", "a/b": b""})


def test_too_many_files_are_refused() -> None:
    with pytest.raises(PackageError, match="at most"):
        pack({f"f{i}": b"" for i in range(MAX_FILES + 1)})


def test_any_tar_unpacks_it(tmp_path: Path) -> None:
    (tmp_path / "p.covey").write_bytes(pack(FILES))
    subprocess.run(["tar", "xf", "p.covey"], cwd=tmp_path, check=True)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES


def test_python_reads_it_with_fixed_metadata() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(FILES))) as tar:
        assert tar.getnames() == sorted(FILES)
        assert {(m.mtime, m.uid, m.gid, m.mode, m.type) for m in tar} == {(0, 0, 0, 0o644, tarfile.REGTYPE)}
