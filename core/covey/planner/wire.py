"""The modulus of a sum, and the bytes that one device sends and receives for it."""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final

from covey.accounting import rounded_norms
from covey.errors import InputError
from covey.plan import TAIL
from covey.planner.cohort import Cohort
from covey.planner.noise import COARSEST

FEWEST_BITS, MOST_BITS = 16, 32
"""Standard deviations of noise that must fit beside the sum; beyond lies less than 2^-140 of the noise."""

# Bytes of the protocol's messages, measured on `covey.secagg.messages`; device names of 16 characters.
_ADVERT: Final = 283
_DEAL: Final = 286
_OPENED: Final = 73
_INPUT_PROOF: Final = 104
_VOTE: Final = 70
_PATH: Final = 34
_ENVELOPE: Final = 1500
_APPEAL: Final = 3500
"""A policy, the plan's entry in the ledger, and proofs of it."""
_CERTIFICATE: Final = 60
_FLOAT: Final = 4


@dataclass(frozen=True)
class Traffic:
    """Bytes of one device in one sum.

    Attributes:
        vector: Its masked answer.
        up: All it sends.
        down: All it receives: the plan, the model, the fleet's roster, the protocol's messages.
    """

    vector: int
    up: int
    down: int


def bits_for(rows: int, sensitivity: int, length: int, noise: int) -> int:
    """The least b such that a sum cannot wrap around 2^b: rows·D2 + 14·sd < 2^(b-1).

    Args:
        rows: Units of privacy that are added up: devices, or all their examples.
        sensitivity: Δ, integer units.
        length: Elements of the vector.
        noise: Variance of all devices' noise together, per element.

    Raises:
        InputError: 32 bits are too few.
    """
    largest = rows * rounded_norms(sensitivity, length).l2 + TAIL * sqrt(noise)
    bits = max(FEWEST_BITS, int(largest).bit_length() + 1)
    if bits > MOST_BITS:
        fitting = sensitivity >> (bits - MOST_BITS)
        raise InputError(
            f"a sum over {rows} rows of sensitivity {sensitivity} would wrap around 2^{MOST_BITS}",
            hint=f"lower sensitivity to {fitting}"
            if fitting >= COARSEST
            else "ask fewer devices, or fewer examples of each",
        )
    return bits


def traffic(cohort: Cohort, length: int, bits: int, *, removal: bool) -> Traffic:
    """About what one device sends and receives in one sum: within some percent for names of usual length.

    Args:
        cohort: Who takes part.
        length: Elements of the vector; as many 32-bit floats are sent down as the model.
        bits: Of the modulus.
        removal: Whether a noise seed goes up.
    """
    n, neighbours = cohort.devices, cohort.neighbours
    complete = cohort.profile == "malicious-server"
    vector = ceil(length * bits / 8)
    up = _ADVERT + neighbours * _DEAL + vector + 2 * _VOTE + (neighbours + 1) * _OPENED + 34 * removal
    path = 0 if complete else _PATH * n.bit_length()
    seen = (neighbours + 1) * (_ADVERT + path) + neighbours * _DEAL + 3 * 3 * (neighbours + 1)
    proofs = cohort.minimum * _INPUT_PROOF + cohort.threshold * _VOTE if complete else 0
    before = _ADVERT  # the device's own last one
    sent = _FLOAT * length + _ENVELOPE + _APPEAL + n * _CERTIFICATE
    return Traffic(vector, up, sent + seen + before + proofs)
