"""Inputs of real requests, handed from who serves to a new model in shadow, in memory, never on a disk.

    DEVICE/shadow.sock      a datagram socket of the shadow's; there while it wants inputs

Nobody waits: what does not fit is dropped. One datagram is an input with the label that was answered.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey.examples import Floats

SOCKET: Final = "shadow.sock"
MOST_BYTES: Final = 1 << 20


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One request.

    Attributes:
        label: That was answered.
        shape: Of one input.
        x: Raw input, float32, little-endian.
    """

    label: str
    shape: tuple[int, ...]
    x: bytes

    def array(self) -> Floats:
        """The input, shape (1, *shape).

        Raises:
            ValueError: The bytes are not that many numbers.
        """
        return np.frombuffer(self.x, "<f4").reshape(1, *self.shape)


def decode(data: bytes) -> Sample:
    """A datagram's sample.

    Raises:
        msgspec.DecodeError: It is none.
    """
    return msgspec.msgpack.decode(data, type=Sample)


class Feed:
    """The serving side.

    Args:
        device_folder: The device's folder.

    Raises:
        OSError: There is no such folder.
    """

    def __init__(self, device_folder: Path) -> None:
        # a socket's address has room for 108 bytes (unix(7)): the folder's path may have more
        self._place = os.open(device_folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._path = Path(f"/proc/self/fd/{self._place}/{SOCKET}")
        self._wanted = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def look(self) -> None:
        """See whether anybody wants inputs."""
        self._wanted = self._path.is_socket()

    def offer(self, x: NDArray[np.generic], shape: tuple[int, ...], labels: tuple[str, ...]) -> None:
        """Hand over the first input of a request, if somebody wants it; never waits, never raises.

        Args:
            x: Raw inputs, shape `shape` or (n, *shape).
            shape: Of one input.
            labels: What was answered, one for each.
        """
        if not self._wanted:
            return
        one = np.ascontiguousarray(x.reshape(-1, *shape)[0], "<f4")
        sample = Sample(labels[0], shape, one.tobytes())
        with suppress(OSError):
            self._socket.sendto(msgspec.msgpack.encode(sample), str(self._path))

    def close(self) -> None:
        """End it."""
        self._socket.close()
        os.close(self._place)
