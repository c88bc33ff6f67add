"""Shamir's secret sharing of 32-byte secrets (Comm. ACM 22(11), 1979), over the prime 2^256 + 297.

That is the least prime above 2^256, so every 32-byte string is an element. Any `threshold` shares give the
secret, fewer are independent of it. A wrong share gives a wrong secret and nothing here can tell: shares are
compared with what their dealer committed to, and the secret with its commitment, by the callers.

Python integers take no constant time. What an outsider could time is one's own dealing, once per round.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import Final

from covey.stream import Stream

PRIME: Final = (1 << 256) + 297
SECRET_BYTES: Final = 32
SHARE_BYTES: Final = 33
"""An element, big-endian; the first byte is 0 or 1."""

LEAST_THRESHOLD: Final = 2
"""With a threshold of one, every share would be the secret."""

# 128 bits more than an element: reduced modulo the prime, they are within 2^-127 of uniform.
_WIDE_BYTES: Final = 48

# Horner steps between two divisions by the prime, which cost more than some longer products.
_LAZY: Final = 32


def split(secret: bytes, threshold: int, xs: Sequence[int], stream: Stream) -> list[bytes]:
    """One share for each x.

    Args:
        secret: 32 bytes.
        threshold: t, how many shares give the secret, ≥ 2.
        xs: Where the polynomial of degree t - 1 is evaluated: at least t different integers in [1, prime).
        stream: Where its coefficients are drawn: 48 (t - 1) bytes, that of x^1 first.

    Returns:
        33 bytes each, in the order of `xs`.

    Raises:
        ValueError: Another length, threshold or xs.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret of {len(secret)} bytes, not {SECRET_BYTES}")
    if not LEAST_THRESHOLD <= threshold <= len(xs):
        raise ValueError(f"a threshold of {threshold} among {len(xs)} shares")
    _check_xs(xs)
    polynomial = [int.from_bytes(secret, "big"), *_coefficients(threshold - 1, stream)]
    blocks = _blocks(polynomial)
    return [_evaluate(blocks, x).to_bytes(SHARE_BYTES, "big") for x in xs]


def weights(xs: Sequence[int]) -> list[int]:
    """Lagrange's factors at zero: the secret is Σ weight · share over the shares at `xs`.

    Raises:
        ValueError: No xs, one of them twice or outside [1, prime).
    """
    _check_xs(xs)
    product = prod(xs) % PRIME
    return [product * inverse % PRIME for inverse in _inverses([_denominator(x, xs) for x in xs])]


def combine(shares: Sequence[bytes], weights: Sequence[int]) -> bytes:
    """The secret, 32 bytes, if these are exactly as many shares as its threshold or more.

    Args:
        shares: 33 bytes each.
        weights: Of the same xs in the same order.

    Raises:
        ValueError: A share is not an element, there are more or fewer of them than weights, or the result
            is no 32-byte string (2^256 and above): some share is not what the dealer gave.
    """
    if len(shares) != len(weights):
        raise ValueError(f"{len(shares)} shares for {len(weights)} weights")
    total = sum(element(share) * weight for share, weight in zip(shares, weights, strict=True))
    value = total % PRIME
    if value.bit_length() > 8 * SECRET_BYTES:
        raise ValueError("shares that do not combine to 32 bytes")
    return value.to_bytes(SECRET_BYTES, "big")


def element(share: bytes) -> int:
    """The integer that a share stands for; a receiver calls it to refuse what is none.

    Raises:
        ValueError: Not 33 bytes, or not below the prime.
    """
    value = int.from_bytes(share, "big")
    if len(share) != SHARE_BYTES or value >= PRIME:
        raise ValueError("not a share: 33 bytes below the prime 2^256 + 297")
    return value


def _check_xs(xs: Sequence[int]) -> None:
    # The polynomial at zero is the secret itself.
    if not xs or not all(0 < x < PRIME for x in xs) or len(set(xs)) != len(xs):
        raise ValueError("shares need different places, none of them zero")


def _coefficients(count: int, stream: Stream) -> list[int]:
    drawn = stream.take(_WIDE_BYTES * count)
    starts = range(0, len(drawn), _WIDE_BYTES)
    return [int.from_bytes(drawn[start : start + _WIDE_BYTES], "big") % PRIME for start in starts]


def _blocks(polynomial: Sequence[int]) -> list[list[int]]:
    """Coefficients from the highest power down, as many at a time as are added up without a division."""
    falling = list(reversed(polynomial))
    return [falling[start : start + _LAZY] for start in range(0, len(falling), _LAZY)]


def _evaluate(blocks: list[list[int]], x: int) -> int:
    value = 0
    for block in blocks:
        for coefficient in block:
            value = value * x + coefficient
        value %= PRIME
    return value


def _denominator(x: int, xs: Sequence[int]) -> int:
    return x * prod([other - x for other in xs if other != x]) % PRIME


def _inverses(values: Sequence[int]) -> list[int]:
    """All from one inversion, which costs as much as some forty products (Montgomery 1987, section 10.3)."""
    products = list(accumulate(values, lambda before, value: before * value % PRIME))
    inverse, found = pow(products[-1], -1, PRIME), [0] * len(values)
    for place in range(len(values) - 1, 0, -1):
        found[place] = inverse * products[place - 1] % PRIME
        inverse = inverse * values[place] % PRIME
    found[0] = inverse
    return found
