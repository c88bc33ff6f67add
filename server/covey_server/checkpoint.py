"""A checkpoint: all that a run needs in order to go on as if it had not stopped."""

import hashlib
from collections.abc import Mapping
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters
from covey.errors import StateError
from covey.examples import Standardise

MAGIC = b"covey checkpoint 1\n"
_DIGEST = 32
_DTYPES = ("float32", "float64")

Arrays = Mapping[str, NDArray[np.generic]]


class SavedArray(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One array: element type, shape, little-endian bytes."""

    dtype: str
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    data: bytes


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    config: str
    round: int
    parameters: dict[str, SavedArray]
    optimiser: dict[str, SavedArray]
    preprocessing: Standardise | None


class Checkpoint(msgspec.Struct, frozen=True):
    """The state after a round.

    Attributes:
        config: Digest of the run's configuration: a checkpoint is of no use to another.
        round: The last round that is in it; 0 before the first.
        parameters: The model.
        optimiser: What the server's optimiser remembers; see `covey_strategies.optimiser_state`.
        preprocessing: How inputs are scaled.
    """

    config: str
    round: int
    parameters: Parameters
    optimiser: dict[str, NDArray[np.generic]]
    preprocessing: Standardise | None


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """A magic line, the body's SHA-256, the body (msgpack)."""
    body = msgspec.msgpack.encode(
        _Body(
            checkpoint.config,
            checkpoint.round,
            _packed(checkpoint.parameters),
            _packed(checkpoint.optimiser),
            checkpoint.preprocessing,
        )
    )
    return MAGIC + hashlib.sha256(body).digest() + body


def from_bytes(data: bytes, name: str) -> Checkpoint:
    """The inverse of `to_bytes`.

    Args:
        data: The file's content.
        name: The file's name, for the error.

    Raises:
        StateError: Damaged, or not a checkpoint.
    """
    head = len(MAGIC) + _DIGEST
    digest, body = data[len(MAGIC) : head], data[head:]
    if not data.startswith(MAGIC) or hashlib.sha256(body).digest() != digest:
        raise StateError(
            f"{name} is damaged or is not a checkpoint",
            hint="remove it to go on from the checkpoint before it; nothing was overwritten",
        )
    try:
        found = msgspec.msgpack.decode(body, type=_Body)
        unpacked, optimiser = _unpacked(found.parameters, name), _unpacked(found.optimiser, name)
    except ValueError as error:  # whole, as its digest says: not damage, but another form
        raise StateError(
            f"{name} cannot be read: {error}", hint="it was written by another version"
        ) from error
    parameters = {key: value.astype(np.float32) for key, value in unpacked.items()}
    return Checkpoint(found.config, found.round, parameters, optimiser, found.preprocessing)


def _packed(arrays: Arrays) -> dict[str, SavedArray]:
    return {name: _pack(np.asarray(array)) for name, array in arrays.items()}


def _pack(array: NDArray[np.generic]) -> SavedArray:
    little = array.astype(array.dtype.newbyteorder("<"))
    return SavedArray(array.dtype.name, array.shape, little.tobytes())


def _unpacked(arrays: Mapping[str, SavedArray], name: str) -> dict[str, NDArray[np.generic]]:
    return {key: _unpack(array, name) for key, array in arrays.items()}


def _unpack(array: SavedArray, name: str) -> NDArray[np.generic]:
    if array.dtype not in _DTYPES:
        raise StateError(f"{name} holds an array of {array.dtype}", hint="it was written by another version")
    dtype = np.dtype(array.dtype).newbyteorder("<")
    return np.frombuffer(array.data, dtype).reshape(array.shape).astype(array.dtype)
