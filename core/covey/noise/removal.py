"""Noise in parts, so that those planned for drop-outs who did not drop out can be taken off again.

XNoise of Dordis (EuroSys 2024, arXiv 2209.12528), with the variances corrected to count honest devices only.
Of n2 devices that share keys, up to T = n2 - minimum may drop out and C_max may add no noise; m = n2 - C_max.
Each adds component 0 of variance σ²/m and, for k = 1 .. T, component k of variance σ²/((m-k+1)(m-k)). Since
1/((m-k+1)(m-k)) = 1/(m-k) - 1/(m-k+1), components 0 .. D add up to σ²/(m-D). After D drop-outs at least m - D
honest devices remain, and once every survivor's components D+1 .. T are taken off, σ² is left.

Each component has a key of its own. Key k follows from seed k, and seed k+1 from seed k, one way: the single
seed D+1 opens what must be taken off and nothing else. Component 0 has a key that no seed gives.

This needs a mechanism whose sums are of the same law: Skellam.
"""

from itertools import accumulate, repeat
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from covey.errors import InputError

LARGEST_TOLERANCE: Final = 32
"""Most drop-outs whose noise can be taken off again: each costs every device one more draw."""

SEED_BYTES: Final = 32


def components(variance: int, sharing: int, corrupt: int, minimum: int) -> tuple[int, ...]:
    """Variances of one device's components 0 .. T, each rounded up.

    Args:
        variance: σ², what the honest survivors' noise must add up to, in squared integer units.
        sharing: n2, how many devices shared their keys.
        corrupt: C_max, how many may add no noise.
        minimum: The fewest survivors, more than `corrupt`.

    Raises:
        InputError: Fewer devices than the minimum, no honest survivor, a negative number, or T above 32.
    """
    tolerance, honest = sharing - minimum, sharing - corrupt
    if min(variance, corrupt, tolerance) < 0 or minimum <= corrupt:
        raise InputError(
            f"no noise of variance {variance} for {sharing} devices, {corrupt} corrupt, minimum {minimum}",
            hint="the minimum must exceed the corrupt devices and not exceed those present",
        )
    if tolerance > LARGEST_TOLERANCE:
        raise InputError(
            f"excess noise of {tolerance} possible drop-outs cannot be removed, at most {LARGEST_TOLERANCE}",
            hint="raise the minimum, or plan without noise removal",
        )
    ratios = [honest, *((honest - k + 1) * (honest - k) for k in range(1, tolerance + 1))]
    return tuple(-(-variance // ratio) for ratio in ratios)


def local_shares(
    variance: int, *, sharing: int, corrupt: int, minimum: int, removal: bool
) -> tuple[int, ...]:
    """What one device adds of σ²: `components` with removal, else ⌈σ²/h⌉ alone, h = minimum - corrupt.

    Args:
        variance: σ².
        sharing: Devices that shared their keys; only with removal.
        corrupt: C_max.
        minimum: The fewest survivors, more than `corrupt`.
        removal: Whether noise for drop-outs that did not happen is taken off again.

    Raises:
        InputError: With removal, as `components`.
    """
    if removal:
        return components(variance, sharing, corrupt, minimum)
    return (-(-variance // (minimum - corrupt)),)


def chain(first: bytes, count: int) -> tuple[bytes, ...]:
    """`count` seeds, the first of them given: s_{k+1} = HKDF-SHA256(s_k, no salt, info "xnoise-next").

    A device starts from a fresh s_1 with count T; who removes noise from s_{D+1} with count T - D.

    Raises:
        ValueError: The first seed is not 32 bytes.
    """
    if len(first) != SEED_BYTES:
        raise ValueError(f"a noise seed has {SEED_BYTES} bytes, not {len(first)}")
    return tuple(accumulate(repeat(first, count), lambda seed, _: _derived(seed, b"xnoise-next")))


def key_of(seed: bytes) -> bytes:
    """The 32-byte key that a component is drawn with: HKDF-SHA256(s_k, no salt, info "xnoise-key")."""
    return _derived(seed, b"xnoise-key")


def _derived(seed: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), length=SEED_BYTES, salt=None, info=info).derive(seed)
