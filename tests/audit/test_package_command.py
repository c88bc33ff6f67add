"""`covey package`: what a reviewer sees, and the exit status a script sees."""

import json
import os
import socket
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from commands import invoked
from covey.errors import CoveyError, InputError, PackageError
from covey.package import manifest as manifests
from covey.package.archive import pack
from covey.package.keys import new_signing_key
from covey.package.verify import sign_package
from covey_audit.commands import package as app
from covey_io.packages import read_package
from packages_fixture import files, keys, package, unsigned


def run(*arguments: object) -> str:
    """What `covey package` prints."""
    return invoked(app, *arguments).stdout


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "release.pub.pem"
    path.write_bytes(keys()[1])
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "motion.covey"
    path.write_bytes(package())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in files().items():
        path = tmp_path / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "unpacked"


def finding(path: Path, key: Path) -> str:
    """The one line that a tampered package gets; it is a finding, exit status 1."""
    with pytest.raises(PackageError) as caught:
        run("verify", path, "--key", key)
    assert caught.value.exit_status == 1
    assert "\n" not in str(caught.value)
    return str(caught.value)


def bad_input(*arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        run(*arguments)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_an_archive_and_its_folder_verify(archive: Path, folder: Path, key: Path) -> None:
    for path in (archive, folder):
        assert "verified: motion 1.0.0" in run("verify", path, "--key", key)


def test_a_link_to_a_package_verifies(archive: Path, folder: Path, key: Path, tmp_path: Path) -> None:
    for path in (archive, folder):
        link = tmp_path / f"link-{path.name}"
        link.symlink_to(path)
        assert "verified" in run("verify", link, "--key", key)


def test_json_names_the_key(archive: Path, key: Path) -> None:
    told = json.loads(run("verify", archive, "--key", key, "--json"))
    assert told["verified"] is True
    assert len(told["key"]) == 64


def test_without_a_key_nothing_is_verified_even_beside_one(archive: Path, key: Path) -> None:
    assert key.parent == archive.parent
    assert "--key PUB.pem" in bad_input("verify", archive)


@pytest.mark.parametrize("name", sorted(set(files()) - {"model.sig"}))
def test_a_changed_file_is_named(archive: Path, folder: Path, key: Path, name: str) -> None:
    changed = files()[name] + b"."
    (folder / name).write_bytes(changed)
    archive.write_bytes(pack({**files(), name: changed}))
    for path in (archive, folder):
        assert f"{name} has changed" in finding(path, key)


@pytest.mark.parametrize("name", sorted(files()))
def test_a_removed_file_is_named(archive: Path, folder: Path, key: Path, name: str) -> None:
    (folder / name).unlink()
    archive.write_bytes(pack({key: data for key, data in files().items() if key != name}))
    for path in (archive, folder):
        assert f"{name} is missing" in finding(path, key)


@pytest.mark.parametrize("name", [".git/x", ".hidden", "golden/more.npy"])
def test_an_added_file_is_named(archive: Path, folder: Path, key: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"")
    archive.write_bytes(pack({**files(), name: b""}))
    for path in (archive, folder):
        assert f"{name} is not signed" in finding(path, key)


def test_a_renamed_file_is_named(folder: Path, key: Path) -> None:
    (folder / "labels.json").rename(folder / "names.json")
    message = finding(folder, key)
    assert "labels.json is missing" in message
    assert "names.json is not signed" in message


def test_a_cut_archive_names_the_file(archive: Path, key: Path) -> None:
    data = package()
    archive.write_bytes(data[: data.index(b"model.int8.onnx\0") + 600])
    assert "model.int8.onnx is cut short" in finding(archive, key)


def test_a_link_to_the_same_content_is_refused(folder: Path, key: Path, tmp_path: Path) -> None:
    (folder / "labels.json").rename(tmp_path / "elsewhere")
    (folder / "labels.json").symlink_to(tmp_path / "elsewhere")
    assert "labels.json is not a regular file" in finding(folder, key)


def test_a_linked_folder_is_refused(folder: Path, key: Path, tmp_path: Path) -> None:
    (folder / "golden").rename(tmp_path / "elsewhere")
    (folder / "golden").symlink_to(tmp_path / "elsewhere")
    assert "golden is not a regular file" in finding(folder, key)


def test_a_pipe_or_socket_is_refused_without_waiting(folder: Path, key: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert "pipe is not a regular file" in finding(folder, key)
    (folder / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "sock"))
        assert "sock is not a regular file" in finding(folder, key)


def test_an_unsafe_name_in_a_folder_is_refused(folder: Path, key: Path) -> None:
    (folder / "a b").write_bytes(b"")
    assert "'a b'" in finding(folder, key)


def test_another_key_is_a_finding(archive: Path, key: Path) -> None:
    key.write_bytes(new_signing_key()[1])
    assert "made with the key" in finding(archive, key)


def test_what_is_no_package_is_bad_input(tmp_path: Path, key: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    for name in ("text", "empty"):
        assert "is not a package" in bad_input("verify", tmp_path / name, "--key", key)
    assert "no such file" in bad_input("verify", tmp_path / "nowhere", "--key", key)


def test_what_is_no_key_is_bad_input(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    assert str(path) in bad_input("verify", archive, "--key", path)
    path.write_bytes(b"hello")
    assert f"{path}: not a public key" in bad_input("verify", archive, "--key", path)
    curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    path.write_bytes(curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert "secp384r1" in bad_input("verify", archive, "--key", path)
    path.write_bytes(keys()[0])
    assert "private key" in bad_input("verify", archive, "--key", path)


def test_show_says_what_is_in_it_and_that_nothing_is_checked(archive: Path) -> None:
    text = run("show", archive)
    for expected in (
        "motion 1.0.0",
        "NOT CHECKED",
        "resting, walking, falling",
        "Tells three motions apart.",
    ):
        assert expected in text
    assert "license:" not in text


def test_show_prints_json(folder: Path) -> None:
    told = json.loads(run("show", folder, "--json"))
    assert told["signature"] == "not checked"
    assert told["input_shape"] == [2, 8]


def test_a_card_cannot_drive_the_terminal(tmp_path: Path) -> None:
    hostile = {**unsigned(), "README.md": b"\x1b]0;owned\x07 [bold]plain[/bold]"}
    manifest = manifests.decode(hostile["manifest.json"])
    hostile["manifest.json"] = manifests.encode(
        msgspec.structs.replace(manifest, files=manifests.listing(hostile))
    )
    path = tmp_path / "hostile.covey"
    path.write_bytes(pack(sign_package(hostile, keys()[0])))
    text = run("show", path)
    assert "\x1b" not in text
    assert "[bold]plain[/bold]" in text


def test_a_damaged_package_is_not_shown(archive: Path) -> None:
    archive.write_bytes(pack({**files(), "labels.json": b"[]"}))
    with pytest.raises(CoveyError, match=r"labels\.json has changed"):
        run("show", archive)


def test_reading_does_not_depend_on_the_order_of_the_disk(folder: Path) -> None:
    assert list(read_package(folder)) == sorted(files(), key=lambda name: name.split("/"))
