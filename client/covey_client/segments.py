"""The file that a recorder appends to: a header, then records of one size, each with a checksum.

header   magic, length and CRC-32 of what follows, then JSON: shape, when it was begun, the name of its shard
record   float32 values, int64 label, CRC-32 over its place and these; all little-endian

A record counts only as a whole: what a crash or a power cut left of one is seen by its checksum, which also
tells one that stands in another's place.
"""

import struct
import zlib
from dataclasses import dataclass
from math import prod
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey.errors import StateError
from covey.examples import Examples, Floats

MAGIC: Final = b"COVEYREC"
OPEN: Final = ".open"
"""Of the one segment in a recorder's folder."""

NAME: Final = r"\d{8,}-\d+-[0-9a-f]{8}\.npz"
"""Of a recorded shard: its number, when it was begun in Unix seconds, and chance: no name comes twice."""

_HEAD: Final = struct.Struct("<8sII")
_PLACE: Final = struct.Struct("<Q")
_LABEL: Final = struct.Struct("<q")
_CHECKSUM: Final = struct.Struct("<I")

Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a segment holds.

    Attributes:
        shape: Of one input.
        begun: Unix seconds.
        shard: The name that it gets when it is sealed.
    """

    shape: tuple[Size, ...]
    begun: int
    shard: Annotated[str, msgspec.Meta(pattern=f"^{NAME}$")]

    @property
    def record_bytes(self) -> int:
        """Of one record."""
        return 4 * prod(self.shape) + _LABEL.size + _CHECKSUM.size


@dataclass(frozen=True)
class Segment:
    """A segment as it was found.

    Attributes:
        header: What it holds.
        examples: Those whose records are whole.
        places: How many records there were room for, up to the last that is whole.
        begin: Where the records begin, in bytes.
    """

    header: Header
    examples: Examples
    places: int
    begin: int

    @property
    def end(self) -> int:
        """Where the last whole record ends, in bytes."""
        return self.begin + self.places * self.header.record_bytes

    @property
    def damaged(self) -> int:
        """Records before the last whole one that are not whole."""
        return self.places - len(self.examples)


def begin(header: Header) -> bytes:
    """An empty segment."""
    said = msgspec.json.encode(header)
    return _HEAD.pack(MAGIC, len(said), zlib.crc32(said)) + said


def record(place: int, x: Floats, y: int) -> bytes:
    """One example's bytes.

    Args:
        place: Its number in the segment, from 0.
        x: Of the segment's shape.
        y: Its label.
    """
    payload = x.astype("<f4").tobytes() + _LABEL.pack(y)
    return payload + _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(_PLACE.pack(place))))


def read(data: bytes, where: str) -> Segment:
    """What is in a segment; what is not whole is left out.

    Raises:
        StateError: The header is damaged.
    """
    header, start = read_header(data, where)
    size = header.record_bytes
    rows = [data[at : at + size] for at in range(start, len(data) - size + 1, size)]
    whole = [place for place, row in enumerate(rows) if _is_whole(place, row)]
    x = np.array([_input(rows[place], header) for place in whole], np.float32)
    y = np.array([_LABEL.unpack_from(rows[place], size - 12)[0] for place in whole], np.int64)
    examples = Examples(x.reshape((len(whole), *header.shape)), y)
    return Segment(header, examples, whole[-1] + 1 if whole else 0, start)


def read_header(data: bytes, where: str) -> tuple[Header, int]:
    """A segment's header, and where its records begin.

    Raises:
        StateError: It is damaged.
    """
    try:
        magic, length, checksum = _HEAD.unpack_from(data)
        said = data[_HEAD.size : _HEAD.size + length]
        header = msgspec.json.decode(said, type=Header)
    except (struct.error, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _damaged(where) from error
    if magic != MAGIC or zlib.crc32(said) != checksum:
        raise _damaged(where)
    return header, _HEAD.size + length


def _damaged(where: str) -> StateError:
    return StateError(f"{where}: its header is damaged", hint="move it away; sealed shards are whole")


def _is_whole(place: int, row: bytes) -> bool:
    payload, told = row[: -_CHECKSUM.size], row[-_CHECKSUM.size :]
    return _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(_PLACE.pack(place)))) == told


def _input(row: bytes, header: Header) -> NDArray[np.float32]:
    return np.frombuffer(row, "<f4", prod(header.shape)).reshape(header.shape)
