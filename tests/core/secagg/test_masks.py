import hashlib
import tracemalloc
from typing import get_args

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as Primitive
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.ring import Ring
from covey.secagg import masks
from covey.secagg.masks import BLOCK, Cipher, Mask, add_masks

CIPHERS: tuple[Cipher, ...] = get_args(Cipher)
LONG = 3 * BLOCK + 5

ciphers = st.sampled_from(CIPHERS)
signs = st.sampled_from([1, -1])


def key(name: object) -> bytes:
    return hashlib.sha256(repr(name).encode()).digest()


def some_masks(count: int) -> list[Mask]:
    return [Mask(key(number), 1 if number % 3 else -1) for number in range(count)]


def some_vector(length: int) -> Ring:
    return (np.arange(length, dtype=np.uint64) * 2654435761 % (1 << 32)).astype(np.uint32)


def expanded(mask: Mask, length: int, cipher: Cipher) -> Ring:
    """The whole keystream at once, straight from the primitive."""
    algorithm = (
        algorithms.ChaCha20(mask.key, bytes(16)) if cipher == "chacha20" else algorithms.AES256(mask.key)
    )
    mode = None if cipher == "chacha20" else modes.CTR(bytes(16))
    stream = Primitive(algorithm, mode).encryptor().update(bytes(4 * length))
    return np.frombuffer(stream, "<u4").astype(np.uint32)


def expected(vector: Ring, added: list[Mask], cipher: Cipher) -> list[int]:
    total = vector.astype(np.int64)
    for mask in added:
        total = (total + mask.sign * expanded(mask, len(vector), cipher).astype(np.int64)) % (1 << 32)
    return [int(element) for element in total]


# RFC 8439, appendix A.1, test vectors 1 to 4: key, block, keystream of that block under a zero nonce.
CHACHA20_BLOCKS = [
    (
        "00" * 32,
        0,
        (
            "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
            "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
        ),
    ),
    (
        "00" * 32,
        1,
        (
            "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
            "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
        ),
    ),
    (
        "00" * 31 + "01",
        1,
        (
            "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
            "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0"
        ),
    ),
    (
        "00ff" + "00" * 30,
        2,
        (
            "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
            "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096"
        ),
    ),
]


@pytest.mark.parametrize(("secret", "block", "stream"), CHACHA20_BLOCKS)
def test_published_chacha20_blocks(secret: str, block: int, stream: str) -> None:
    vector = np.zeros(64, np.uint32)
    add_masks(vector, [Mask(bytes.fromhex(secret), 1)], "chacha20")
    assert vector.astype("<u4").tobytes()[64 * block : 64 * (block + 1)].hex() == stream


# AES-256 of a counter block: the zero key of GCM's test cases 13 (McGrew and Viega), FIPS 197 appendix C.3,
# and the four output blocks of SP 800-38A, section F.5.5.
SP_800_38A = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"
AES_BLOCKS = [
    ("00" * 32, 0, "dc95c078a2408989ad48a21492842087"),
    ("00" * 32, 1, "530f8afbc74536b9a963b4f1c4cb738b"),
    (
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        0x00112233445566778899AABBCCDDEEFF,
        "8ea2b7ca516745bfeafc49904b496089",
    ),
    (SP_800_38A, 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF, "0bdf7df1591716335e9a8b15c860c502"),
    (SP_800_38A, 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFDFF00, "5a6e699d536119065433863c8f657b94"),
    (SP_800_38A, 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFDFF01, "1bc12c9c01610d5d0d8bd6a3378eca62"),
    (SP_800_38A, 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFDFF02, "2956e1c8693536b1bee99c73a31576b6"),
]


@pytest.mark.parametrize(("secret", "block", "stream"), AES_BLOCKS)
def test_published_aes_256_blocks(secret: str, block: int, stream: str) -> None:
    context = masks._keystream(bytes.fromhex(secret), "aes-256-ctr", 16 * block)
    assert context.update(bytes(16)).hex() == stream


def test_the_first_aes_words_are_little_endian_from_counter_zero() -> None:
    vector = np.zeros(8, np.uint32)
    add_masks(vector, [Mask(bytes(32), 1)], "aes-256-ctr")
    assert vector.astype("<u4").tobytes().hex() == AES_BLOCKS[0][2] + AES_BLOCKS[1][2]
    assert int(vector[0]) == 0x78C095DC


@given(ciphers, st.integers(0, 300), st.integers(0, 12))
def test_masks_are_added_modulo_2_to_the_32(cipher: Cipher, length: int, count: int) -> None:
    vector = some_vector(length)
    add_masks(vector, some_masks(count), cipher)
    assert vector.tolist() == expected(some_vector(length), some_masks(count), cipher)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, LONG])
def test_blocks_and_workers_leave_no_seam(cipher: Cipher, workers: int, length: int) -> None:
    vector = some_vector(length)
    add_masks(vector, some_masks(3), cipher, workers=workers)
    assert vector.tolist() == expected(some_vector(length), some_masks(3), cipher)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_any_number_of_masks(cipher: Cipher) -> None:
    count = 2 * masks._AT_A_TIME + 1
    vector = some_vector(7)
    add_masks(vector, some_masks(count), cipher)
    assert vector.tolist() == expected(some_vector(7), some_masks(count), cipher)


@given(ciphers, st.permutations(range(6)), st.integers(1, 3))
@settings(max_examples=20)
def test_the_order_of_masks_does_not_matter(cipher: Cipher, order: list[int], workers: int) -> None:
    first, second = some_vector(LONG), some_vector(LONG)
    added = some_masks(6)
    add_masks(first, added, cipher)
    add_masks(second, [added[place] for place in order], cipher, workers=workers)
    assert np.array_equal(first, second)


@given(ciphers, st.lists(st.binary(min_size=32, max_size=32), max_size=5), st.integers(0, 99))
def test_both_ends_of_a_pair_cancel(cipher: Cipher, keys: list[bytes], length: int) -> None:
    vector = some_vector(length)
    add_masks(vector, [Mask(each, 1) for each in keys], cipher)
    add_masks(vector, [Mask(each, -1) for each in keys], cipher)
    assert np.array_equal(vector, some_vector(length))


@pytest.mark.parametrize("cipher", CIPHERS)
def test_another_key_is_another_mask(cipher: Cipher) -> None:
    first, second = np.zeros(100, np.uint32), np.zeros(100, np.uint32)
    add_masks(first, [Mask(key(1), 1)], cipher)
    add_masks(second, [Mask(key(2), 1)], cipher)
    assert int((first == second).sum()) == 0


def test_the_two_ciphers_are_not_one() -> None:
    chacha, aes = np.zeros(100, np.uint32), np.zeros(100, np.uint32)
    add_masks(chacha, [Mask(key(1), 1)], "chacha20")
    add_masks(aes, [Mask(key(1), 1)], "aes-256-ctr")
    assert int((chacha == aes).sum()) == 0


def test_a_stretch_of_a_longer_vector_is_masked_in_place() -> None:
    whole = some_vector(100)
    add_masks(whole[10:20], some_masks(2), "chacha20")
    assert whole[10:20].tolist() == expected(some_vector(100)[10:20], some_masks(2), "chacha20")
    assert np.array_equal(whole[20:], some_vector(100)[20:])


@pytest.mark.parametrize("cipher", CIPHERS)
def test_memory_does_not_grow_with_the_number_of_masks(cipher: Cipher) -> None:
    vector, added = some_vector(LONG), some_masks(1000)
    tracemalloc.start()
    add_masks(vector, added, cipher)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "vector",
    [np.zeros(4, np.int32), np.zeros(4, np.int64), np.zeros(4, np.float32), np.zeros((2, 2), np.uint32)],
    ids=["int32", "int64", "float32", "two dimensions"],
)
def test_a_vector_of_another_kind_is_refused(vector: Ring) -> None:
    with pytest.raises(ValueError, match="a vector of uint32"):
        add_masks(vector, some_masks(1), "chacha20")
    assert not vector.any()


@pytest.mark.parametrize("workers", [0, -1])
def test_no_worker_is_refused(workers: int) -> None:
    with pytest.raises(ValueError, match="one worker or more"):
        add_masks(some_vector(4), some_masks(1), "chacha20", workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unknown_cipher_is_refused_before_anything_is_added(workers: int) -> None:
    vector = some_vector(LONG)
    with pytest.raises(AssertionError):
        add_masks(vector, some_masks(1), "des", workers=workers)  # type: ignore[arg-type]
    assert np.array_equal(vector, some_vector(LONG))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_vector_that_cannot_be_written_to_is_refused(workers: int) -> None:
    vector = some_vector(LONG)
    vector.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        add_masks(vector, some_masks(1), "chacha20", workers=workers)


@pytest.mark.parametrize(("size", "sign"), [(31, 1), (33, 1), (0, 1), (32, 0), (32, 2)])
def test_no_mask_without_a_key_and_a_sign(size: int, sign: int) -> None:
    with pytest.raises(ValueError, match="a key of 32 bytes"):
        Mask(bytes(size), sign)  # type: ignore[arg-type]


def test_a_printed_mask_does_not_show_its_key() -> None:
    assert repr(Mask(b"k" * 32, -1)) == "Mask(sign=-1)"
