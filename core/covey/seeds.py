"""Randomness keyed by what it is for.

A stream that runs on from round to round cannot be resumed after a crash. Each use of randomness in a
simulation therefore has a key of its own, derived from the run's seed, its purpose, the round and the
device. Nothing that a privacy claim rests on is drawn from here.
"""

import hashlib

import numpy as np


def derive(seed: int, purpose: str, *keys: int | str) -> int:
    """A 63-bit seed: the first bytes of SHA-256 over the length-prefixed fields.

    Args:
        seed: The run's seed.
        purpose: What the randomness is for; different purposes give unrelated seeds.
        keys: Round, device, or whatever else tells two uses apart.
    """
    return int.from_bytes(_digest(seed, purpose, keys)[:8], "big") >> 1


def _digest(seed: int, purpose: str, keys: tuple[int | str, ...]) -> bytes:
    fields = [str(seed).encode(), purpose.encode()]
    fields += [f"{type(each).__name__}:{each}".encode() for each in keys]
    framed = b"".join([len(each).to_bytes(4, "big") + each for each in fields])
    return hashlib.sha256(b"covey/v1/seed" + framed).digest()


def generator(seed: int, purpose: str, *keys: int | str) -> np.random.Generator:
    """A NumPy generator for one use."""
    return np.random.Generator(np.random.PCG64(derive(seed, purpose, *keys)))


def key(seed: int, purpose: str, *keys: int | str) -> bytes:
    """32 bytes likewise, for a simulation's noise and coins, which are repeatable and protect nobody."""
    return _digest(seed, purpose, keys)
