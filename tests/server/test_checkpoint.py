import hashlib

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from covey.arrays import digest
from covey.errors import StateError
from covey.examples import Standardise
from covey_server.checkpoint import MAGIC, Checkpoint, from_bytes, to_bytes
from covey_strategies.optimiser_state import restore, save
from digits_fleet import INNER, flock, parameters, private, rounds

NAME = "runs/a/checkpoints/round-000007.ckpt"
STATE = Checkpoint(
    config="ab" * 32,
    round=7,
    parameters={
        "bias": np.array([1.5, -0.0], np.float32),
        "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    },
    optimiser={
        "m_t/bias": np.array([np.pi, -1e-300]),
        "v_t/bias": np.array([1e-45, 2.0], np.float32),
        "scale": np.array(3.0),
    },
    preprocessing=Standardise((0.1, 0.2), (1.0, 2.0)),
)
DATA = to_bytes(STATE)


def refused(data: bytes) -> StateError:
    with pytest.raises(StateError) as caught:
        from_bytes(data, NAME)
    assert caught.value.message.startswith(NAME)
    assert caught.value.hint
    return caught.value


def assert_same(found: dict[str, NDArray[np.generic]], expected: dict[str, NDArray[np.generic]]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_round_trip_bit_for_bit() -> None:
    found = from_bytes(DATA, NAME)
    assert (found.config, found.round, found.preprocessing) == (STATE.config, 7, STATE.preprocessing)
    assert_same(dict(found.parameters), dict(STATE.parameters))
    assert_same(found.optimiser, STATE.optimiser)
    assert to_bytes(found) == DATA


def test_before_the_first_round_there_is_little_to_keep() -> None:
    state = Checkpoint("ab" * 32, 0, {}, {}, None)
    assert from_bytes(to_bytes(state), NAME) == state


def test_what_was_read_can_be_trained_on() -> None:
    from_bytes(DATA, NAME).parameters["bias"][0] = 2.0


def test_arrays_are_written_by_value_not_by_layout_in_memory() -> None:
    turned = msgspec.structs.replace(
        STATE,
        parameters={name: np.asfortranarray(array) for name, array in STATE.parameters.items()},
        optimiser={
            name: array.astype(array.dtype.newbyteorder(">")) for name, array in STATE.optimiser.items()
        },
    )
    assert to_bytes(turned) == DATA


def test_it_begins_with_magic_and_digest() -> None:
    assert DATA.startswith(b"covey checkpoint 1\n")
    assert DATA[len(MAGIC) : len(MAGIC) + 32] == hashlib.sha256(DATA[len(MAGIC) + 32 :]).digest()


def test_every_byte_is_guarded() -> None:
    for place in range(len(DATA)):
        damaged = bytearray(DATA)
        damaged[place] ^= 0x20
        refused(bytes(damaged))


def test_every_truncation_is_refused() -> None:
    for end in range(len(DATA)):
        refused(DATA[:end])


@pytest.mark.parametrize("data", [DATA + b"\0", b"\0" + DATA, DATA + DATA, bytes(len(DATA))])
def test_anything_beside_a_checkpoint_is_refused(data: bytes) -> None:
    assert "damaged or is not a checkpoint" in refused(data).message


def sealed(body: bytes) -> bytes:
    """Whole and undamaged, whatever is in it."""
    return MAGIC + hashlib.sha256(body).digest() + body


def body_with(array: list[object]) -> bytes:
    plain = {
        "config": "ab" * 32,
        "round": 7,
        "parameters": {"bias": array},
        "optimiser": {},
        "preprocessing": None,
    }
    return sealed(msgspec.msgpack.encode(plain))


def test_a_body_by_hand_is_read() -> None:
    found = from_bytes(body_with(["float32", [2], np.array([1, 2], "<f4").tobytes()]), NAME)
    assert found.parameters["bias"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("dtype", ["int64", "float16", "object", "<f4", ""])
def test_other_element_types_are_refused(dtype: str) -> None:
    error = refused(body_with([dtype, [2], bytes(8)]))
    assert error.message == f"{NAME} holds an array of {dtype}"
    assert "another version" in error.hint


@pytest.mark.parametrize(
    "data",
    [
        body_with(["float32", [3], bytes(8)]),
        body_with(["float32", [2], bytes(7)]),
        body_with(["float32", [-2], bytes(8)]),
        body_with(["float32", [2]]),
        body_with(["float32", [2], bytes(8), 1]),
        sealed(b""),
        sealed(b"\xc1"),
        sealed(msgspec.msgpack.encode({"config": "ab" * 32})),
        sealed(DATA[len(MAGIC) + 32 :].replace(b"config", b"confix")),
        sealed(DATA[len(MAGIC) + 32 :].replace(b"\xa6config", b"\xa6\xff\xffnfig")),
    ],
    ids=["shape", "bytes", "sign", "short", "long", "empty", "no msgpack", "missing", "unknown", "no text"],
)
def test_a_whole_file_of_another_form_is_refused(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize("name", INNER)
def test_a_strategy_goes_on_from_a_file_bit_for_bit(name: str) -> None:
    fleet = flock()
    whole = rounds(private(INNER[name]()), fleet.grid, parameters(), range(1, 4))
    first, second = INNER[name](), INNER[name]()
    half = rounds(private(first), fleet.grid, parameters(), range(1, 3))
    found = from_bytes(to_bytes(Checkpoint("ab" * 32, 2, half, save(first), None)), NAME)
    restore(second, found.optimiser)
    assert digest(rounds(private(second), fleet.grid, found.parameters, range(3, 4))) == digest(whole)
