"""A package file (`.covey`): a tar archive with one possible spelling.

POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange Format"): regular files alone, sorted by name, mode
0644, owner 0, time 0, two zero blocks at the end. The same files always give the same bytes, `tar xf`
unpacks them, and `unpack` refuses every other archive: links, devices, folders, duplicates, trailing
bytes and odd headers have no way in, for none of them is ever interpreted.
"""

import struct
from collections.abc import Mapping

from covey.errors import PackageError
from covey.package.names import MAX_BYTES, MAX_FILES, check_name, check_sizes

_BLOCK = 512
_END = bytes(2 * _BLOCK)
# name, mode, uid, gid, size, mtime, checksum, type, link name, magic, version, user, group, device numbers,
# prefix, padding
_HEADER = struct.Struct("100s 8s 8s 8s 12s 12s 8s c 100s 6s 2s 32s 32s 8s 8s 155s 12x")
_SIZE_FIELD = slice(124, 135)
# An archive is its files, a header and at most one block of padding each, and the end.
_MAX_ARCHIVE = MAX_BYTES + MAX_FILES * 2 * _BLOCK + len(_END)


def pack(files: Mapping[str, bytes]) -> bytes:
    """The package file that holds `files`.

    Args:
        files: Content by relative name.

    Returns:
        The archive: the same bytes for the same files, on every machine.

    Raises:
        PackageError: A name is unsafe, or there are too many files or bytes.
    """
    check_sizes((name, len(content)) for name, content in files.items())
    return b"".join([*(_member(name, files[name]) for name in sorted(files)), _END])


def unpack(data: bytes) -> dict[str, bytes]:
    """The files in a package file; the inverse of `pack`, and defined on its results only.

    Args:
        data: The whole archive.

    Returns:
        Content by relative name, such that `pack` gives `data` again.

    Raises:
        PackageError: `data` is anything that `pack` does not write; names the file where there is one.
    """
    if len(data) > _MAX_ARCHIVE:
        raise PackageError(f"the archive has {len(data)} bytes: a package has at most {_MAX_ARCHIVE}")
    files: dict[str, bytes] = {}
    offset = 0
    while data[offset : offset + 1] not in {b"", b"\0"} and len(files) < MAX_FILES:
        name, content, offset = _read_member(data, offset)
        files[name] = content
    if pack(files) != data:
        raise _not_ours("files out of order or twice, or something other than the end after the last")
    return files


def _member(name: str, content: bytes) -> bytes:
    return b"".join([_header(name, len(content)), content, bytes(-len(content) % _BLOCK)])


def _header(name: str, size: int) -> bytes:
    blank = _header_with(name, size, b" " * 8)
    return _header_with(name, size, b"%06o\0 " % sum(blank))


def _header_with(name: str, size: int, checksum: bytes) -> bytes:
    zero, nothing = b"0000000\0", b""
    return _HEADER.pack(
        name.encode("ascii"),
        b"0000644\0",
        zero,
        zero,
        b"%011o\0" % size,
        b"%011o\0" % 0,
        checksum,
        b"0",
        nothing,
        b"ustar\0",
        b"00",
        nothing,
        nothing,
        zero,
        zero,
        nothing,
    )


def _read_member(data: bytes, offset: int) -> tuple[str, bytes, int]:
    """Name and content of the member at `offset`, and where the next one starts."""
    header = data[offset : offset + _BLOCK]
    name = header[:100].split(b"\0")[0].decode("ascii", "replace")
    check_name(name)
    digits = header[_SIZE_FIELD]
    size = int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else -1
    if size < 0 or header != _header(name, size):
        raise _not_ours(f"{name}: an unexpected header")
    start = offset + _BLOCK
    content = data[start : start + size]
    if len(content) < size:
        raise PackageError(f"{name} is cut short: the archive ends inside it", hint="fetch the package again")
    return name, content, start + size + -size % _BLOCK


def _not_ours(what: str) -> PackageError:
    return PackageError(
        f"not the archive that Covey wrote: {what}",
        hint="fetch the package again; an archive that was unpacked and packed by another tool is refused",
    )
