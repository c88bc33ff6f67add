"""Signing keys: ECDSA over NIST P-256, in PEM. With one curve every verifier, small or large, is the same."""

import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from covey.errors import InputError

_MAKE = "covey signs with ECDSA P-256: openssl ecparam -name prime256v1 -genkey -noout -out release.pem"


def new_signing_key() -> tuple[bytes, bytes]:
    """A new key pair from the operating system's generator (through OpenSSL).

    Returns:
        The private key (PKCS #8, PEM, not encrypted: keep it where few can read it) and the public key
        (SubjectPublicKeyInfo, PEM).
    """
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, public_pem(private.public_key())


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as SubjectPublicKeyInfo in PEM (RFC 7468, section 13)."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the public key's PEM text, in hexadecimal.

    The model-signing format calls it the key hint; `sha256sum release.pub.pem` prints the same.
    """
    return hashlib.sha256(public_pem(key)).hexdigest()


def load_public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Read a public key.

    Raises:
        InputError: Not a public key in PEM, or not on P-256.
    """
    if b"PRIVATE KEY" in pem:
        raise InputError("this is a private key", hint="give the public one: openssl ec -in KEY -pubout")
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError("not a public key in PEM", hint="it begins with -----BEGIN PUBLIC KEY") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError(f"a {_kind(key)} key cannot verify a package", hint=_MAKE)
    return key


def load_private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Read a private key that is not encrypted.

    Raises:
        InputError: Not a private key in PEM, encrypted, or not on P-256.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise InputError("the private key is encrypted", hint="decrypt: openssl pkcs8 -in KEY") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError("not a private key in PEM", hint=_MAKE) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError(f"a {_kind(key)} key cannot sign a package", hint=_MAKE)
    return key


def _kind(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return key.curve.name
    return type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey").lstrip("_")
