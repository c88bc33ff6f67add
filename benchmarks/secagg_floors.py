"""What a private sum cannot take less than, timed by itself in the same run.

The floor is the arithmetic: mask words drawn with the same cipher and added in blocks that stay in a core's
cache. The bound adds the signatures, key exchanges and vector hashes that the protocol prescribes, at what
one of each costs with the library used. What a session takes beyond the bound is the program's own doing.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from secagg_session import Case
from secagg_synthetic import answers, label

from covey.encode import Part, encode
from covey.noise.contribution import contribute
from covey.ring import Ring, packed_size
from covey.stream import Stream

WORDS = 1 << 15
"""Added at a time."""

TIMES = 64
"""Of each operation that takes microseconds, at least."""

MULTIPLIER, NORM = 4, 1 << 10
"""Noise in the sum: z and Δ."""


@dataclass(frozen=True)
class Floors:
    """CPU seconds.

    Attributes:
        client: k + 1 masks drawn and added.
        server: A self mask for each survivor and a vector from each; for each drop-out its pair masks.
        client_bound: With what the protocol prescribes beside them.
        server_bound: Likewise.
    """

    client: float
    server: float
    client_bound: float
    server_bound: float


def measure(case: Case) -> Floors:
    """For one case."""
    k, n, gone = case.cohort.neighbours, case.size, case.dropped
    mask, add, digest = _mask(case), _add(case), _hash(case)
    verify, sign, exchange = _verify(), _sign(), _exchange()
    client = (k + 1) * mask
    # A drop-out's pair masks are with survivors only: of its neighbours the same part survives as of all.
    pairs = gone * round(k * (n - gone) / n)
    server = (n - gone) * (mask + add) + pairs * mask
    complete = case.profile == "malicious-server"
    # A client verifies an advert and a deal of each neighbour; in the malicious-server profile also the input
    # of each survivor and a quorum of votes. The server verifies adverts, inputs and, there, votes.
    checks = 2 * k + (n - gone + case.cohort.threshold - 2 if complete else 0)
    signed = k + (3 if complete else 2)
    client_bound = client + checks * verify + signed * sign + 2 * k * exchange + digest
    checked = n + (n - gone) * (2 if complete else 1)
    return Floors(
        client, server, client_bound, server + checked * verify + (n - gone) * digest + pairs * exchange
    )


def preparation(case: Case) -> tuple[float, float]:
    """CPU seconds to encode an answer, and to draw one noise vector for it with a table that is ready."""
    part = Part("values", case.length, float(case.length), NORM / case.length)
    rows = {"values": answers(case.length)[np.newaxis, :].astype(np.float64)}
    variance = (MULTIPLIER * NORM) ** 2 // (case.cohort.minimum - case.cohort.corrupt) + 1
    contribute("skellam", (variance,), 1, label("noise"))
    return (
        timed(lambda: encode((part,), rows, Stream(label("coins"))), 3),
        timed(lambda: contribute("skellam", (variance,), case.length, label("noise")), 3),
    )


def timed(work: Callable[[], object], times: int) -> float:
    """CPU seconds of one of `times` calls in a row."""
    before = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - before) / times


def _least(work: Callable[[], object], times: int) -> float:
    """The best of three: the first may still have to touch its memory."""
    return min(timed(work, times) for _ in range(3))


def _times(case: Case) -> int:
    """Enough to take some ten milliseconds, and as many masks as a client's at the most."""
    return max(16, min(TIMES, 4_000_000 // case.length))


def _mask(case: Case) -> float:
    """One mask of d words among many: a block takes all of them before the next."""
    vector, times = np.zeros(case.length, np.uint32), _times(case)
    return _least(lambda: _draw_and_add(vector, times, case.cipher), 1) / times


def _draw_and_add(vector: Ring, times: int, cipher: str) -> None:
    streams = [_stream(label("mask", index), cipher) for index in range(times)]
    zeros, keystream = bytes(4 * WORDS), bytearray(4 * WORDS)
    for start in range(0, len(vector), WORDS):
        block = vector[start : start + WORDS]
        source, sink = memoryview(zeros)[: block.nbytes], memoryview(keystream)[: block.nbytes]
        words = np.frombuffer(sink, "<u4")
        for stream in streams:
            stream.update_into(source, sink)
            np.add(block, words, out=block)


def _stream(key: bytes, cipher: str) -> CipherContext:
    if cipher == "chacha20":
        return Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor()
    return Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()


def _add(case: Case) -> float:
    """One vector that was just received: from memory, not from the cache."""
    total = np.zeros(case.length, np.uint32)
    received = [np.full(case.length, index, np.uint32) for index in range(8)]

    def add() -> None:
        for vector in received:
            np.add(total, vector, out=total)

    return _least(add, max(1, _times(case) // 8)) / len(received)


def _hash(case: Case) -> float:
    """SHA-256 of one packed vector."""
    data = bytes(packed_size(case.length, case.bits))
    return _least(lambda: hashlib.sha256(data).digest(), max(4, _times(case) // 8))


def _verify() -> float:
    key = Ed25519PrivateKey.from_private_bytes(label("verify"))
    data = bytes(300)
    public, signature = key.public_key().public_bytes_raw(), key.sign(data)
    return _least(lambda: Ed25519PublicKey.from_public_bytes(public).verify(signature, data), TIMES)


def _sign() -> float:
    key = Ed25519PrivateKey.from_private_bytes(label("sign"))
    data = bytes(300)
    return _least(lambda: key.sign(data), TIMES)


def _exchange() -> float:
    key = X25519PrivateKey.from_private_bytes(label("exchange"))
    public = X25519PrivateKey.from_private_bytes(label("peer")).public_key().public_bytes_raw()
    return _least(lambda: key.exchange(X25519PublicKey.from_public_bytes(public)), TIMES)
