"""Which operators an ONNX file may have to be run beside a device's examples for a private sum.

What an example's share of a sum is must depend on that example alone. An operator that draws at random goes
on where the example before left off; one that fails on some values takes all examples of a device down
together; a loop takes as long as a value says. `PURE` holds operators that do none of this:

    no random numbers, no state, no branch, no loop, no graph inside
    nothing that turns a value into a whole number, which as an index or a shape could then fail

Quantisation ends in 8 bits, which no index or shape may be, and where a pool's largest value was is not given
out: whole numbers in such a graph are the publisher's constants. `Pow` is missing, since a whole number to
the power of a value is a whole number again.
"""

from collections.abc import Iterator
from typing import Final

from covey.errors import PackageError
from covey.package.external_data import fields

STANDARD: Final = frozenset({"", "ai.onnx"})
"""Domains of ONNX's own operators."""
PURE: Final = frozenset(
    name
    for names in (
        "Abs Add Clip Cos Div Elu Erf Exp Floor Gelu HardSigmoid HardSwish LeakyRelu Log Max Mean Min Mish",
        "Mul Neg PRelu Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Softsign Sqrt Sub Sum Tanh",
        "Conv ConvTranspose Gemm MatMul AveragePool GlobalAveragePool GlobalMaxPool LpPool MaxPool",
        "GroupNormalization InstanceNormalization LayerNormalization LogSoftmax LRN RMSNormalization Softmax",
        "ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare",
        "Concat Constant Expand Flatten Gather Identity Pad Reshape Shape Slice Split Squeeze Tile Transpose",
        "Unsqueeze DequantizeLinear QuantizeLinear",
    )
    for name in names.split()
)
_GRAPH, _TRAINING, _FUNCTION = 7, 20, 25  # of ModelProto
_NODE = 1  # of GraphProto
_OUTPUT, _OP_TYPE, _DOMAIN = 2, 4, 7  # of NodeProto
_SPLITS: Final = "Split"
"""The one operator here whose second output is like its first."""


def refuse_operators(name: str, model: bytes) -> None:
    """Check a model file.

    Args:
        name: The file's name, for the message.
        model: An ONNX file.

    Raises:
        PackageError: An operator that is not in `PURE`, or the file is not well-formed protobuf.
    """
    try:
        found = sorted(set(_impure(memoryview(model))))
    except (IndexError, ValueError) as error:
        raise PackageError(f"{name}: not an ONNX file: {error}") from error
    if found:
        raise PackageError(
            f"{name}: operators that no private sum is asked about: {', '.join(found[:5])}",
            hint="export the network without them; covey.package.operators says which ones may be there",
        )


def _impure(model: memoryview) -> Iterator[str]:
    for field, value in fields(model):
        if field in {_TRAINING, _FUNCTION}:
            yield "of its own"
        elif field == _GRAPH and isinstance(value, memoryview):
            for kind, node in fields(value):
                if kind == _NODE:
                    yield from _of_node(node) if isinstance(node, memoryview) else ("that are no message",)


def _of_node(node: memoryview) -> Iterator[str]:
    """Every name that a node gives itself: readers take the last of several."""
    names, outputs = list[str](), 0
    for field, value in fields(node):
        outputs += field == _OUTPUT
        if field == _OP_TYPE:
            names.append(_text(value))
        elif field == _DOMAIN and _text(value) not in STANDARD:
            yield f"of domain {_text(value)!r}"
    yield from (each for each in names or [""] if each not in PURE)
    if outputs > 1 and names != [_SPLITS]:
        yield f"{' '.join(names)} with {outputs} outputs"


def _text(value: int | memoryview) -> str:
    """A short text; what cannot be printed is no operator's name."""
    return bytes(value).decode("ascii", "replace")[:40] if isinstance(value, memoryview) else str(value)
