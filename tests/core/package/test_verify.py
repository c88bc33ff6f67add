"""Exactly the signed files verify; whatever happens to one of them is said by its name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.errors import InputError, PackageError
from covey.package.archive import pack, unpack
from covey.package.keys import new_signing_key
from covey.package.names import SIGNATURE
from covey.package.verify import sign_package, verify
from packages_fixture import files, keys, package, unsigned

PUBLIC = keys()[1]
FILES = files()
NAMES = sorted(set(FILES) - {SIGNATURE})


def refusal(tampered: dict[str, bytes]) -> str:
    """The message that the tampered files get, through an archive."""
    with pytest.raises(PackageError) as caught:
        verify(unpack(pack(tampered)), PUBLIC)
    return str(caught.value)


def test_a_signed_package_verifies() -> None:
    verified = verify(unpack(package()), PUBLIC)
    assert verified.manifest.name == "motion"
    assert verified.files == FILES


def test_the_same_files_and_key_give_the_same_package() -> None:
    assert pack(sign_package(unsigned(), keys()[0])) == package()
    assert sign_package(FILES, keys()[0]) == FILES


def test_a_malformed_package_is_never_signed() -> None:
    with pytest.raises(PackageError, match=r"README\.md"):
        sign_package({name: data for name, data in unsigned().items() if name != "README.md"}, keys()[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_file_is_named(name: str) -> None:
    changed = FILES[name][:-1] + bytes([FILES[name][-1] ^ 1])
    assert f"{name} has changed" in refusal({**FILES, name: changed})


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_file_is_named(name: str) -> None:
    assert f"{name} has changed" in refusal({**FILES, name: FILES[name][:-1]})


@pytest.mark.parametrize("name", NAMES)
def test_a_removed_file_is_named(name: str) -> None:
    assert f"{name} is missing" in refusal({key: data for key, data in FILES.items() if key != name})


@pytest.mark.parametrize("name", [".git/x", ".gitignore", ".github/workflows/x", "golden/.git", "a.sig"])
def test_an_added_file_is_named(name: str) -> None:
    assert f"{name} is not signed" in refusal({**FILES, name: b""})


def test_a_renamed_file_is_named_twice() -> None:
    renamed = {("labels2.json" if name == "labels.json" else name): data for name, data in FILES.items()}
    message = refusal(renamed)
    assert "labels.json is missing" in message
    assert "labels2.json is not signed" in message


def test_two_files_swapped_are_both_named() -> None:
    swapped = {**FILES, "labels.json": FILES["README.md"], "README.md": FILES["labels.json"]}
    assert "README.md has changed; labels.json has changed" in refusal(swapped)


def test_a_missing_or_cut_signature_is_named() -> None:
    assert "model.sig is missing" in refusal(unsigned())
    assert "model.sig" in refusal({**FILES, SIGNATURE: FILES[SIGNATURE][:-9]})


def test_the_signature_of_another_version_is_refused() -> None:
    assert "manifest.json has changed" in refusal({**FILES, SIGNATURE: files("2.0.0")[SIGNATURE]})


def test_another_key_is_refused() -> None:
    with pytest.raises(PackageError, match="made with the key"):
        verify(FILES, new_signing_key()[1])


def test_no_key_is_refused() -> None:
    with pytest.raises(InputError):
        verify(FILES, b"")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_byte_changed_anywhere_in_the_archive_is_refused(data: st.DataObject) -> None:
    """Outside `model.sig`, whose own spelling is free within its format."""
    archive = bytearray(package())
    start = archive.index(b"model.sig\0") + 512
    free = range(start, start + len(FILES[SIGNATURE]))
    position = data.draw(st.integers(0, len(archive) - 1).filter(lambda place: place not in free))
    archive[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PackageError):
        verify(unpack(bytes(archive)), PUBLIC)
