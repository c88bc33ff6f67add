"""Frames on a stream socket: four bytes of length, most significant first, then so many bytes.

Between the ClientApp and the agent, between the agent and its training worker. What is in a frame is for the
reader of `covey.delivery` and `covey_client.working` to say.
"""

import socket
import struct
from typing import IO, Final

from covey.delivery import MAX_BYTES
from covey.errors import ProtocolError

LENGTH: Final = struct.Struct(">I")
CHUNK: Final = 1 << 20


def send(connection: socket.socket, data: bytes) -> None:
    """One frame.

    Raises:
        OSError: The other side is gone, or does not read within the socket's timeout.
    """
    connection.sendall(LENGTH.pack(len(data)))
    connection.sendall(data)


def receive(connection: socket.socket, *, blame: str, limit: int = MAX_BYTES) -> bytes | None:
    """One frame; None if the other side closed between two.

    Args:
        connection: With a timeout, or a peer that never sends waits for ever.
        blame: Who sent it.
        limit: Longest frame, bytes; a longer one is refused before any of it is read.

    Raises:
        ProtocolError: Too long, or cut off.
        TimeoutError: Nothing came within the socket's timeout.
    """
    head = _exactly(connection, LENGTH.size)
    if not head:
        return None
    length = _length(head, blame, limit)
    data = _exactly(connection, length)
    if len(data) < length:
        raise ProtocolError(f"{blame}: a frame that is cut off", blame=blame)
    return data


def write(file: IO[bytes], data: bytes) -> None:
    """One frame into a pipe."""
    file.write(LENGTH.pack(len(data)))
    file.write(data)
    file.flush()


def read(file: IO[bytes], *, blame: str, limit: int = MAX_BYTES) -> bytes:
    """One frame out of a pipe.

    Raises:
        ProtocolError: Too long, or cut off.
    """
    length = _length(file.read(LENGTH.size), blame, limit)
    data = file.read(length)
    if len(data) < length:
        raise ProtocolError(f"{blame}: a frame that is cut off", blame=blame)
    return data


def _length(head: bytes, blame: str, limit: int) -> int:
    if len(head) < LENGTH.size:
        raise ProtocolError(f"{blame}: a frame that is cut off", blame=blame)
    (length,) = LENGTH.unpack(head)
    if length > limit:
        raise ProtocolError(f"{blame}: a frame of {length} bytes, at most {limit}", blame=blame)
    return int(length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    """So many bytes, or fewer at the end of the stream."""
    data = bytearray()
    while len(data) < length:
        some = connection.recv(min(length - len(data), CHUNK))
        if not some:
            break
        data += some
    return bytes(data)
