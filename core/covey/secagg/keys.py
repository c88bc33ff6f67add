"""Keys of one session: derivation, agreement, and what they are bound to.

HKDF-SHA256 (RFC 5869) with salt H(plan) and an info of version, purpose and length-prefixed fields; X25519
(RFC 7748). A purpose and its fields name one use: no key is used for two things or in two directions.
"""

import hashlib
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from covey.errors import ProtocolError
from covey.fields import fields

KEY_BYTES: Final = 32

# The u coordinates of the points of order 1, 2, 4 and 8 on the curve and its twist: an exchange with one of
# them gives zero, whatever the private key (RFC 7748, section 6.1).
_P: Final = (1 << 255) - 19
_ORDER_8: Final = (
    0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
)
_LOW_ORDER: Final = frozenset({0, 1, _P - 1, *_ORDER_8})


def derive(secret: bytes, salt: bytes, purpose: str, *bound: bytes | str | int) -> bytes:
    """A 32-byte key for one purpose, bound to the fields that name its use."""
    info = fields("covey/v1", purpose, *bound)
    return HKDF(hashes.SHA256(), KEY_BYTES, salt, info).derive(secret)


def check_public(public: bytes, *, blame: str) -> None:
    """Refuse an X25519 key that agrees on nothing secret, or that another string of bytes stands for as well.

    Raises:
        ProtocolError: Of low order, or not in its one spelling below 2^255 - 19.
    """
    value = int.from_bytes(public, "little")
    if len(public) != KEY_BYTES or value >= _P or value in _LOW_ORDER:
        raise ProtocolError(f"{blame}: a key of low order, or misspelt", blame=blame)


class KeyPair:
    """An X25519 key pair.

    Args:
        private: 32 bytes.
    """

    def __init__(self, private: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(private)
        self.public = self._key.public_key().public_bytes_raw()

    def agree(self, public: bytes, *, blame: str) -> bytes:
        """The secret shared with the owner of `public`.

        Raises:
            ProtocolError: A point of low order: the secret would be known to everyone.
        """
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise ProtocolError(f"{blame}: a key of low order", blame=blame) from error


def commitment(seed: bytes) -> bytes:
    """To a self-mask seed b: SHA-256("covey/v1/b" ‖ b)."""
    return hashlib.sha256(b"covey/v1/b" + seed).digest()


def share_commitment(kind: str, x: int, share: bytes, blind: bytes) -> bytes:
    """To a share, hidden by 32 random bytes; `kind` is "r" or "b", x the holder's."""
    return hashlib.sha256(fields("share", kind, x, share, blind)).digest()
