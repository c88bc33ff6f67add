"""Which layers of a model changed between two releases, by the weights in their float32 files."""

from math import isfinite

import numpy as np
import onnx
from onnx import numpy_helper

from covey.errors import PackageError
from covey.examples import Floats
from covey.package.comparing import NOT_THERE, Row
from covey.package.contents import Contents


def compare_layers(old: Contents, new: Contents) -> tuple[Row, ...]:
    """One row for each weight: its shape, and how far it moved.

    Raises:
        PackageError: A model is no ONNX file.
    """
    before, after = _weights(old), _weights(new)
    return tuple(_row(name, before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after]))


def _row(name: str, old: Floats | None, new: Floats | None) -> Row:
    change = ""
    if old is not None and new is not None and old.shape == new.shape and not np.array_equal(old, new):
        moved, length = float(np.linalg.norm(new - old)), float(np.linalg.norm(old))
        change = f"moved by {moved / length * 100:.3g} % of its norm" if length else "moved from zero"
        if not isfinite(moved):
            change = "moved to or from a number that is none"
    return Row(topic="layers", name=name, old=_shape(old), new=_shape(new), change=change)


def _shape(weight: Floats | None) -> str:
    return NOT_THERE if weight is None else " x ".join(map(str, weight.shape)) or "one number"


def _weights(package: Contents) -> dict[str, Floats]:
    """Float32 weights by name, in the file's order."""
    try:
        graph = onnx.load_from_string(package.model("fp32")).graph
        found = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    except Exception as error:  # protobuf's and ONNX's errors have no base class in common
        raise PackageError("model.fp32.onnx: not an ONNX file that can be read") from error
    return {name: array for name, array in found.items() if array.dtype == np.float32}
