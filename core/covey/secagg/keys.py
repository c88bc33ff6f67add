"""Keys of one session: derivation, agreement, and what they are bound to.

HKDF-SHA256 (RFC 5869) with salt H(plan) and an info of version, purpose and length-prefixed fields; X25519
(RFC 7748). A purpose and its fields name one use: no key is used for two things or in two directions.
"""

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from covey.errors import ProtocolError
from covey.fields import fields

KEY_BYTES = 32


def derive(secret: bytes, salt: bytes, purpose: str, *bound: bytes | str | int) -> bytes:
    """A 32-byte key for one purpose, bound to the fields that name its use."""
    info = fields("covey/v1", purpose, *bound)
    return HKDF(hashes.SHA256(), KEY_BYTES, salt, info).derive(secret)


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
