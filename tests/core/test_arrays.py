import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from covey.arrays import Layout, Parameters, digest, layout_of

PARAMETERS: Parameters = {
    "bias": np.array([0.5, -1.25], np.float32),
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
}

floats = hnp.arrays(
    np.float32, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(width=32, allow_nan=False)
)
parameters = st.dictionaries(st.text("abc.", min_size=1, max_size=5), floats, min_size=1, max_size=4)


def independent_digest(arrays: Parameters) -> str:
    """The format as its docstring states it, written a second time."""
    parts = []
    for name, array in arrays.items():
        numbers = [float(number) for number in array.ravel()]
        parts += [name.encode(), str(tuple(array.shape)).encode(), struct.pack(f"<{len(numbers)}f", *numbers)]
    return hashlib.sha256(b"".join(struct.pack("<Q", len(part)) + part for part in parts)).hexdigest()


def test_digest_known_answer() -> None:
    assert digest(PARAMETERS) == "85adce8711bdec971b193ae26d5146632a3c8f833fbcffb39dca2104ceacb098"
    assert digest(PARAMETERS) == independent_digest(PARAMETERS)
    assert digest({}) == hashlib.sha256().hexdigest()


@given(parameters)
def test_digest_is_its_documented_format(arrays: Parameters) -> None:
    assert digest(arrays) == independent_digest(arrays)


def test_digest_sees_the_values_not_their_place_in_memory() -> None:
    turned = {name: np.asfortranarray(array) for name, array in PARAMETERS.items()}
    swapped = {name: array.astype(">f4") for name, array in PARAMETERS.items()}
    assert digest(turned) == digest(swapped) == digest(PARAMETERS)


def test_digest_tells_names_shapes_values_and_order_apart() -> None:
    bias, weight = PARAMETERS["bias"], PARAMETERS["weight"]
    nudged = bias.copy()
    nudged[0] = np.nextafter(nudged[0], np.float32(1))
    variants: list[Parameters] = [
        PARAMETERS,
        {"weight": weight, "bias": bias},
        {"bias": bias, "weights": weight},
        {"bias": bias, "weight": weight.reshape(3, 2)},
        {"bias": nudged, "weight": weight},
        {"bias": bias},
        {"bias": bias, "weight": weight, "more": np.zeros(0, np.float32)},
        {"bias": -bias, "weight": weight},
    ]
    assert len({digest(variant) for variant in variants}) == len(variants)


def test_layout_keeps_the_order_of_the_arrays() -> None:
    layout = layout_of(PARAMETERS)
    assert layout == Layout((("bias", (2,)), ("weight", (2, 3))))
    assert layout.size == 8
    assert layout.flatten(PARAMETERS).tolist() == [0.5, -1.25, 0, 1, 2, 3, 4, 5]
    assert layout.flatten(PARAMETERS).dtype == np.float64


def test_a_scalar_has_one_element() -> None:
    layout = layout_of({"scale": np.array(2.0, np.float32)})
    assert layout.size == 1
    assert layout.unflatten(np.array([3.0]))["scale"].shape == ()


@given(parameters)
def test_unflatten_undoes_flatten_bit_for_bit(arrays: Parameters) -> None:
    layout = layout_of(arrays)
    back = layout.unflatten(layout.flatten(arrays))
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == np.float32
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "other",
    [
        {"bias": PARAMETERS["bias"]},
        {"bias": PARAMETERS["bias"], "weight": PARAMETERS["weight"].T},
        {"weight": PARAMETERS["weight"], "bias": PARAMETERS["bias"]},
        {"bias": PARAMETERS["bias"], "kernel": PARAMETERS["weight"]},
    ],
    ids=["missing", "transposed", "reordered", "renamed"],
)
def test_flatten_refuses_another_layout(other: Parameters) -> None:
    with pytest.raises(ValueError, match="do not have this layout"):
        layout_of(PARAMETERS).flatten(other)


@pytest.mark.parametrize("shape", [(7,), (9,), (8, 1), (2, 4)])
def test_unflatten_refuses_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="for a layout of 8"):
        layout_of(PARAMETERS).unflatten(np.zeros(shape))
