"""What simulated devices keep between rounds: a file each in the run's folder, read when a device is asked.

Whichever process works a device out finds what it has, and a fleet of a million costs memory for nobody. A
file holds what the last two rounds left: a run that is gone on with asks its last round again, and the device
goes by what it had before. What is further ahead of the checkpoint than that is lost, and the run says so.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np

from covey.arrays import Parameters
from covey.errors import StateError
from covey_strategies.queries.memory import Rounds, added, newest

MEMORIES: Final = "memories"
"""In a run's folder."""
_DIGEST: Final = 32

Shape = tuple[Annotated[int, msgspec.Meta(ge=0)], ...]


class _Array(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Little-endian float32."""

    shape: Shape
    data: bytes


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one device keeps.

    Attributes:
        rounds: By name, what the last rounds left.
        first: By name, the first round that ever left anything.
    """

    rounds: dict[str, dict[int, dict[str, _Array]]]
    first: dict[str, int]


@dataclass(frozen=True)
class FolderMemory:
    """A device's memory; see `covey_strategies.queries.memory.Memory`.

    Attributes:
        path: Its file; made when there is something to keep.
    """

    path: Path

    def read(self, name: str, before: int) -> Parameters | None:
        """See `Memory`.

        Raises:
            StateError: The file is damaged.
        """
        return newest(_unpacked(_read(self.path).rounds.get(name, {})), before)

    def write(self, name: str, server_round: int, arrays: Parameters) -> None:
        """See `Memory`.

        Raises:
            StateError: The file is damaged.
        """
        found = _read(self.path)
        rounds = added(_unpacked(found.rounds.get(name, {})), server_round, arrays)
        first = min(found.first.get(name, server_round), server_round)
        _write(self.path, _File(found.rounds | {name: _packed(rounds)}, found.first | {name: first}))


def check(folder: Path, done: int) -> None:
    """Refuse to go on with a run whose devices have lost what they had at its checkpoint.

    Args:
        folder: The run's.
        done: The last round that the checkpoint has.

    Raises:
        StateError: A device's file is damaged, or too far ahead.
    """
    for path in sorted((folder / MEMORIES).glob("*.memory")):
        found = _read(path)
        for name, rounds in found.rounds.items():
            if min(rounds) > done and found.first[name] <= done:
                raise StateError(
                    f"{path}: of {name}, what rounds before {min(rounds)} left is gone, and the run goes on"
                    f" from round {done}",
                    hint="start a new run: what devices keep cannot be made again",
                )


def _read(path: Path) -> _File:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return _File({}, {})
    digest, body = data[:_DIGEST], data[_DIGEST:]
    try:
        if hashlib.sha256(body).digest() == digest:
            return msgspec.msgpack.decode(body, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    raise StateError(f"{path} is damaged", hint="start a new run: what a device keeps cannot be made again")


def _write(path: Path, found: _File) -> None:
    """Whole or not at all; the disk may take its time: `check` finds what a power cut has damaged."""
    body = msgspec.msgpack.encode(found)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(hashlib.sha256(body).digest() + body)
    temporary.replace(path)


def _packed(rounds: Rounds) -> dict[int, dict[str, _Array]]:
    return {
        number: {name: _Array(value.shape, value.astype("<f4").tobytes()) for name, value in arrays.items()}
        for number, arrays in rounds.items()
    }


def _unpacked(rounds: dict[int, dict[str, _Array]]) -> Rounds:
    return {
        number: {
            name: np.frombuffer(each.data, "<f4").reshape(each.shape).astype(np.float32)
            for name, each in arrays.items()
        }
        for number, arrays in rounds.items()
    }
