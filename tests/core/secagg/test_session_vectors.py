"""One session with known seeds: what was sent, to the byte, and one vector computed a second time."""

import hashlib

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from covey.noise.skellam import skellam
from covey.plan import Noise
from covey.secagg.server import Finished
from covey.stream import Stream
from secagg_fleet import Fleet, key, make_plan, vectors

NOISE = Noise(mechanism="skellam", variance=10_000, removal=True, seeded=True)
LENGTH = 5
DEVICE = 3


@pytest.fixture(scope="module")
def session() -> Fleet:
    sums = Fleet(make_plan(noise=NOISE), vectors(12))
    end = sums.run({"share": {13}, "masked": {9}})
    assert isinstance(end, Finished)
    return sums


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_session_is_what_it_was(session: Fleet) -> None:
    end = session.states[-1]
    assert isinstance(end, Finished)
    box = msgspec.msgpack.decode(dict(session.replies["share"])[5])[2][0][1]
    vector = msgspec.msgpack.decode(dict(session.replies["masked"])[5])[1]
    assert session.terms.digest.hex() == "a3fc5d279cead045463ce9d1a33d645882e498f8cb7d3b089382b03f469ea5ca"
    assert (
        sha(b"".join(data for _, data in session.replies["advertise"]))
        == "90dbf05320579dcb39422f59a7b3e6d4d7616bb2af7d4dc3458ef0843ca785d9"
    )
    assert end.root.hex() == "87a83f8796a35067557fd54f11103646ce5e8f3f6ca6ca0b7e1d976a4a88a665"
    assert sha(box) == "8e03e7536163459d05b10b64e1598a8cd5a315b205e972b580dbbd066ed5d35d"
    assert vector.hex() == "ee993989d5b2786568337f91d85b8e38a5819f89"
    assert end.total.tolist() == [910, -231, -1168, -361, 445]


# --- the same once more, with nothing of covey.secagg: RFC 5869, 7748 and 8439 as the library has them


def fields(*parts: bytes | str | int) -> bytes:
    whole = b""
    for part in parts:
        data = (
            part
            if isinstance(part, bytes)
            else part.encode()
            if isinstance(part, str)
            else part.to_bytes(8, "big")
        )
        whole += len(data).to_bytes(4, "big") + data
    return whole


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def words(mask_key: bytes) -> NDArray[np.uint32]:
    """ChaCha20, counter 0, nonce 0, as little-endian words."""
    stream = Cipher(algorithms.ChaCha20(mask_key, bytes(16)), mode=None).encryptor()
    return np.frombuffer(stream.update(bytes(4 * LENGTH)), "<u4").astype(np.uint32)


def session_key(plan: bytes, secret: bytes, purpose: str, *bound: bytes | int) -> bytes:
    return hkdf(secret, plan, fields("covey/v1", purpose, "run", 1, *bound))


def keys_of(plan: bytes, index: int) -> tuple[X25519PrivateKey, bytes]:
    """A device's mask key pair, and its b, from its seed."""
    seed = key("seed", index, 0, 1, plan)
    r, b = (session_key(plan, seed, purpose) for purpose in ("r", "b"))
    return X25519PrivateKey.from_private_bytes(session_key(plan, r, "mask-key")), b


def noise_of(plan: bytes, index: int, sharing: int) -> NDArray[np.int64]:
    """XNoise: variances as privacy's formulas have them, keys down a chain."""
    noise_key, corrupt, minimum, variance = key("noise", index, 0, 1, plan), 1, 8, 10_000
    m, tolerated = sharing - corrupt, sharing - minimum
    variances = [-(-variance // m)]
    variances += [-(-variance // ((m - k + 1) * (m - k))) for k in range(1, tolerated + 1)]
    seed = hkdf(noise_key, b"", fields("covey/v1", "noise-first"))
    keys = [hkdf(noise_key, b"", fields("covey/v1", "noise-own"))]
    for _ in range(tolerated):
        keys.append(hkdf(seed, b"", b"xnoise-key"))
        seed = hkdf(seed, b"", b"xnoise-next")
    total = np.zeros(LENGTH, np.int64)
    for each, stream_key in zip(variances, keys, strict=True):
        total += skellam(each).draw(Stream(stream_key), LENGTH)
    return total


def test_a_masked_vector_is_its_row_its_noise_and_its_masks(session: Fleet) -> None:
    """Member 3's, computed from the seeds with the library's primitives only."""
    plan = hashlib.sha256(b"covey/v1/plan\0" + session.sent).digest()
    private, b = keys_of(plan, DEVICE)
    own = private.public_key().public_bytes_raw()
    expected = (session.vectors[DEVICE] + noise_of(plan, DEVICE, sharing=11)).astype(np.uint32)
    expected += words(session_key(plan, b, "self-mask"))
    for other in range(12):
        if other in {DEVICE, 11}:  # 11 dropped out before U2
            continue
        theirs = keys_of(plan, other)[0].public_key().public_bytes_raw()
        shared = private.exchange(X25519PublicKey.from_public_bytes(theirs))
        first, second = sorted([(DEVICE, own), (other, theirs)])
        mask = words(session_key(plan, shared, "pair-mask", first[0], second[0], first[1], second[1]))
        expected = expected + mask if other > DEVICE else expected - mask
    sent = msgspec.msgpack.decode(dict(session.replies["masked"])[DEVICE + 2])[1]
    assert sent == expected.astype("<u4").tobytes()
