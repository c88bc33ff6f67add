"""Refuse an ONNX file whose weights lie in another file: a signature would not cover them.

ONNX lets a tensor name a file (`TensorProto.external_data`), which ONNX Runtime then reads from wherever the
process happens to run. This walks the protobuf messages that can hold tensors, by the field numbers of
onnx.proto3 (IR version 13), and nothing else; the device needs no ONNX library for it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from covey.errors import PackageError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_MAX_DEPTH: Final = 64
_MAX_SHIFT: Final = 63

# Which fields of a message hold messages that can, in the end, hold a tensor.
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def refuse_external_data(name: str, model: bytes) -> None:
    """Check a model file.

    Args:
        name: The file's name, for the message.
        model: An ONNX file.

    Raises:
        PackageError: A tensor lies outside the file, or the file is not well-formed protobuf.
    """
    try:
        external = _has_external(memoryview(model), "model", 0)
    except (IndexError, ValueError) as error:
        raise PackageError(f"{name}: not an ONNX file: {error}") from error
    if external:
        raise PackageError(
            f"{name}: keeps weights in another file, which a signature does not cover",
            hint="export the model as one file",
        )


def _has_external(data: memoryview, kind: str, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    for field, value in fields(data):
        if kind == "tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)):
            return True
        below = _FIELDS[kind].get(field)
        if below and isinstance(value, memoryview) and _has_external(value, below, depth + 1):
            return True
    return False


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field; a value is an integer or the bytes of a string or message."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        wire = key & 7
        if wire == _VARINT:
            number, position = _varint(data, position)
            yield key >> 3, number
            continue
        size, position = _varint(data, position) if wire == _BYTES else (_size(wire), position)
        if position + size > len(data):
            raise ValueError("a field is longer than its message")
        yield key >> 3, data[position : position + size]
        position += size


def _size(wire: int) -> int:
    if wire not in _SIZES:
        raise ValueError(f"wire type {wire}")
    return _SIZES[wire]


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A base-128 number (protobuf encoding, "Varints") and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, position
        shift += 7
        if shift > _MAX_SHIFT:
            raise ValueError("a number of more than ten bytes")
