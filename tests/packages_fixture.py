"""A small, real package for tests: a convolution and a matrix product, of a static batch of one."""

from functools import cache

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from covey.examples import Floats, Standardise
from covey.package.archive import pack
from covey.package.contents import Draft, Golden, Variant, assemble
from covey.package.keys import new_signing_key
from covey.package.verify import sign_package

INPUT_SHAPE = (2, 8)
LABELS = ("resting", "walking", "falling")
SCALE = Standardise(mean=(0.5, -0.5), deviation=(2.0, 4.0))
CARD = "---\nlicense: apache-2.0\n---\n# tiny\n\nTells three motions apart.\n"


@cache
def keys() -> tuple[bytes, bytes]:
    """A signing key and its public half, the same for all tests of a process."""
    return new_signing_key()


@cache
def model(seed: int = 0, *, step: float = 0.0) -> bytes:
    """An ONNX model float32 (1, 2, 8) -> (1, 3); `step` rounds its weights, as quantisation does."""
    rng = np.random.default_rng(seed)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        values = rng.normal(size=shape).astype(np.float32)
        rounded = np.round(values / step) * step if step else values
        return numpy_helper.from_array(rounded.astype(np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3], pads=[1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Flatten", ["r"], ["f"]),
            helper.make_node("Gemm", ["f", "v", "d"], ["logits"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *INPUT_SHAPE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(LABELS)])],
        [weights("w", 4, 2, 3), weights("b", 4), weights("v", 32, 3), weights("d", 3)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(made.SerializeToString())


def inputs(count: int = 4, seed: int = 1) -> Floats:
    """Raw inputs, float32, shape (count, 2, 8)."""
    return np.random.default_rng(seed).normal(size=(count, *INPUT_SHAPE)).astype(np.float32)


def logits(content: bytes, x: Floats) -> Floats:
    """What the model gives for raw inputs, one at a time."""
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {"x": row[None]})[0] for row in SCALE.apply(x)]
    joined: NDArray[np.float32] = np.concatenate(rows)
    return joined


@cache
def unsigned(version: str = "1.0.0", *, int8: bool = True) -> dict[str, bytes]:
    """The files of a package before it is signed. Do not change the dictionary: it is shared."""
    models: dict[Variant, bytes] = {"fp32": model()}
    if int8:
        models["int8"] = model(step=0.05)
    x = inputs()
    golden = Golden(inputs=x, outputs={variant: logits(content, x) for variant, content in models.items()})
    return assemble(
        Draft(
            name="motion",
            version=version,
            model="tiny",
            labels=LABELS,
            preprocessing=SCALE,
            models=models,
            golden=golden,
            card=CARD,
        )
    )


def files(version: str = "1.0.0", *, int8: bool = True) -> dict[str, bytes]:
    """The files of a signed package."""
    return sign_package(unsigned(version, int8=int8), keys()[0])


@cache
def package(version: str = "1.0.0", *, int8: bool = True) -> bytes:
    """A signed package file."""
    return pack(files(version, int8=int8))
