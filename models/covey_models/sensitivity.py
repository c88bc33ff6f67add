"""What each layer loses in int8: one at a time, the others in float32."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from covey.examples import Floats
from covey_models.evaluation import Predict
from covey_models.observing import probes
from covey_models.quantise import left_float, to_int8_with
from covey_models.quantise_graph import Range, heavy, prepared
from covey_models.runtime import predictor


@dataclass(frozen=True)
class Loss:
    """How far decisions moved over some inputs.

    Attributes:
        error: L2 norm of the logits' change, relative to that of the float32 logits.
        changed: Share of inputs that are decided otherwise.
    """

    error: float
    changed: float


@dataclass(frozen=True)
class Layer:
    """One layer in int8.

    Attributes:
        node: Its name in the prepared graph; `to_int8_with(leave=...)` takes it.
        kind: "Conv", "Gemm" or "MatMul".
        weight: Shape of its weight, which tells which layer of the network it is.
        bytes_saved: By which the file shrinks when it alone is int8; below 0 for a layer so small that what
            describes its scales takes more.
        quantised: Whether there are ranges for it; without, it stays float32 and loses nothing.
        probes: Over public probes.
        given: Over the inputs given, or None.
    """

    node: str
    kind: str
    weight: tuple[int, ...]
    bytes_saved: int
    quantised: bool
    probes: Loss
    given: Loss | None


@dataclass(frozen=True)
class Sensitivity:
    """A table of layers.

    Attributes:
        layers: In graph order.
        together: All layers in int8 at once, over public probes.
        together_given: The same over the inputs given, or None.
        bytes_saved: All layers in int8 at once.
    """

    layers: tuple[Layer, ...]
    together: Loss
    together_given: Loss | None
    bytes_saved: int

    @property
    def worst(self) -> Layer:
        """The layer whose int8 form moves the logits most: the first to leave in float32."""
        return max(self.layers, key=lambda layer: (layer.given or layer.probes).error)


def sensitivity(
    fp32: bytes,
    ranges: Mapping[str, Range],
    input_shape: tuple[int, ...],
    given: Floats | None = None,
    seed: int = 0,
) -> Sensitivity:
    """Quantise each layer alone, then all, and compare with float32. Deterministic.

    Args:
        fp32: What `to_onnx` gives.
        ranges: As for `to_int8_with`.
        input_shape: Of one input.
        given: Scaled inputs to compare on as well, or None.
        seed: Decides the public probes.

    Raises:
        InputError: A range that is none.
        ValueError: The graph has no layer that could be int8.
    """
    model = prepared(fp32)
    nodes = heavy(model)
    if not nodes:
        raise ValueError("a graph without convolutions and matrix products has no layers to compare")
    names = {node.name for node in nodes}
    public = _Reference(predictor(fp32), probes(input_shape, seed))
    own = None if given is None or not len(given) else _Reference(predictor(fp32), given)
    without = set(left_float(fp32, ranges))
    layers = list[Layer]()
    for node in nodes:
        alone = to_int8_with(fp32, ranges, names - {node.name})
        layers.append(
            Layer(
                node=node.name,
                kind=node.op_type,
                weight=_weight(model, node),
                bytes_saved=len(fp32) - len(alone),
                quantised=node.name not in without,
                probes=public.loss(alone),
                given=own.loss(alone) if own else None,
            )
        )
    whole = to_int8_with(fp32, ranges)
    return Sensitivity(
        tuple(layers),
        public.loss(whole),
        own.loss(whole) if own else None,
        len(fp32) - len(whole),
    )


class _Reference:
    """Float32 logits of some inputs, to compare with."""

    def __init__(self, predict: Predict, x: Floats) -> None:
        self._x = x
        self._logits: NDArray[np.float64] = predict(x).astype(np.float64)

    def loss(self, model: bytes) -> Loss:
        found = predictor(model)(self._x).astype(np.float64)
        length = max(float(np.linalg.norm(self._logits)), np.finfo(np.float64).tiny)
        return Loss(
            error=float(np.linalg.norm(found - self._logits)) / length,
            changed=float((found.argmax(1) != self._logits.argmax(1)).mean()),
        )


def _weight(model: ModelProto, node: NodeProto) -> tuple[int, ...]:
    shapes = {each.name: tuple(each.dims) for each in model.graph.initializer}
    return shapes[node.input[1]]
