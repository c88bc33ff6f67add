"""Bring a package from disk into memory without trusting the disk: no links followed, nothing skipped.

What is read here is checked by `covey.package.verify`; this module only makes sure that every file there is
gets seen, hidden ones included, and that nothing but regular files is opened.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from covey.errors import CoveyError, InputError, PackageError
from covey.package.archive import unpack
from covey.package.keys import load_public_key
from covey.package.names import MANIFEST, MAX_BYTES, MAX_FILES, SIGNATURE, check_name
from covey_io.input_files import unreadable

_MAGIC = slice(257, 262)  # "ustar" in the header of a tar archive
_MAX_KEY = 64 * 1024


def read_package(path: Path) -> dict[str, bytes]:
    """The files of a package: a `.covey` archive or the folder that it was unpacked into.

    Args:
        path: The archive or folder; may itself be a symbolic link (a device's `current`).

    Returns:
        Content by relative name, every file there is.

    Raises:
        InputError: No such file, not readable, or nothing like a package.
        PackageError: A package that was tampered with; names the file.
    """
    try:
        return read_folder(path) if path.is_dir() else _read_archive(path)
    except OSError as error:
        raise unreadable(error.filename or path, error) from error


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file in a folder and its subfolders, hidden ones included.

    Raises:
        PackageError: A symbolic link, device, pipe or socket among them, an unsafe name, or more than a
            package may hold; names it.
        InputError: Neither a manifest nor a signature: some other folder.
        OSError: Not readable.
    """
    files: dict[str, bytes] = {}
    room = MAX_BYTES
    for path, name in _entries(folder, prefix=""):
        files[name] = _read_regular(path, name, room)
        room -= len(files[name])
        if len(files) > MAX_FILES:
            raise PackageError(f"{name} is one file too many: a package holds at most {MAX_FILES}")
    if not {MANIFEST, SIGNATURE} & files.keys():
        raise InputError(
            f"{folder} is not a package", hint=f"expected a .covey file or a folder with {MANIFEST}"
        )
    return files


def read_key(path: Path) -> bytes:
    """The content of a key file.

    Raises:
        InputError: No such file, not readable, or too large for a key.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEY + 1)
    except OSError as error:
        raise unreadable(error.filename or path, error) from error
    if len(data) > _MAX_KEY:
        raise InputError(f"{path} is not a key: larger than {_MAX_KEY >> 10} KiB")
    return data


def read_public_key(path: Path) -> bytes:
    """A public key that can verify packages, as PEM.

    Raises:
        InputError: It cannot be read, or is no such key.
    """
    data = read_key(path)
    try:
        load_public_key(data)
    except CoveyError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from error
    return data


def _read_archive(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        # One mebibyte for the headers: unpack says exactly how much is too much.
        data = file.read(MAX_BYTES + (1 << 20))
    if data[_MAGIC] != b"ustar":
        raise InputError(f"{path} is not a package", hint="expected a .covey file or an unpacked folder")
    return unpack(data)


def _entries(folder: Path, prefix: str) -> Iterator[tuple[Path, str]]:
    """Path and name of all that is below `folder` and is not a folder, in order of names.

    A folder's name is checked like a file's, which also bounds the depth.
    """
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = prefix + entry.name
        check_name(name)
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path), f"{name}/")
        else:
            yield Path(entry.path), name


def _read_regular(path: Path, name: str, room: int) -> bytes:
    """The content of a file, if it is a regular one of at most `room` bytes.

    The kind is asked of the open file, so that it cannot be exchanged between the question and the reading;
    O_NONBLOCK keeps the opening of a pipe from waiting for its writer.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink() or not path.is_file():
            raise _not_regular(name) from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _not_regular(name)
        data = file.read(room + 1)
    if len(data) > room:
        raise PackageError(f"{name}: with it the files are larger than a package may hold")
    return data


def _not_regular(name: str) -> PackageError:
    return PackageError(
        f"{name} is not a regular file", hint="a package holds no links, pipes or devices: unpack it again"
    )
