"""A reviewer's key on a token or smart card, over PKCS #11: it signs, and never leaves.

ECDSA over P-256 (type 0x02 of C2SP signed-note), through securesystemslib's HSMSigner. The environment
variable PYKCS11LIB names the library that the token's maker provides; SoftHSM has one for tests. Comes with
`covey[hsm]`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from covey.errors import InputError
from covey.ledger.note import ECDSA_P256, Verifier
from covey_audit.reviewer_keys import Secret, key_name

if TYPE_CHECKING:
    from securesystemslib.signer import HSMSigner  # type: ignore[attr-defined]

LIBRARY: Final = "PYKCS11LIB"
_P256: Final = "ecdsa-sha2-nistp256"
_FORM: Final = "hsm:KEYID?label=TOKEN, as hsm:2 or hsm:1?label=reviews"


@dataclass(frozen=True)
class TokenSigner:
    """Signs with a key on a token.

    Attributes:
        verifier: The public half, under the reviewer's name.
        token: Does it; asks for the PIN.
    """

    verifier: Verifier
    token: "HSMSigner" = field(repr=False)

    def sign(self, text: bytes) -> bytes:
        """An ECDSA signature over SHA-256 of the text, in DER.

        Raises:
            InputError: The token is gone, the PIN is wrong, or it made a signature that does not hold.
        """
        with _explained():
            signature = bytes.fromhex(self.token.sign(text).signature)
        if not self.verifier.holds(text, signature):
            raise InputError("the token's signature does not hold", hint="try the key elsewhere first")
        return signature


def open_token(uri: str, name: str, pin: Secret) -> TokenSigner:
    """Find a key on a token.

    Args:
        uri: `hsm:KEYID?label=TOKEN`; without an id 2 (PIV's signature slot), without a label the only token.
        name: What signatures call the key.
        pin: Asked once, when the token asks.

    Raises:
        InputError: The extra or the library is missing, or there is no such token or key.
    """
    keyid, label = _parsed(uri)
    key_name(name)
    asked = _Pin(pin)
    with _explained():
        signers = _signers()
        full, public = signers.import_(keyid, label, asked)
        if public.scheme != _P256:
            raise InputError(
                f"the token's key is for {public.scheme}, not P-256", hint="make a P-256 key on it"
            )
        token = signers.from_priv_key_uri(full, public, asked)
    key = load_pem_public_key(str(public.keyval["public"]).encode())
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return TokenSigner(Verifier(name, ECDSA_P256, der), token)


def _signers() -> "type[HSMSigner]":
    library = os.environ.get(LIBRARY, "")
    if not Path(library).is_file():
        raise InputError(
            f"{LIBRARY} does not name the token's PKCS #11 library",
            hint=f"export {LIBRARY}=/usr/lib/softhsm/libsofthsm2.so, or what your token came with",
        )
    try:
        import pkcs11  # noqa: PLC0415 - an extra
        from securesystemslib.signer import (  # type: ignore[attr-defined]  # noqa: PLC0415 - an extra
            HSMSigner,
        )
    except ImportError as error:
        raise InputError("signing with a token is not installed", hint="pip install 'covey[hsm]'") from error
    del pkcs11  # HSMSigner uses it, and says in other words that it is missing
    return HSMSigner


def _parsed(uri: str) -> tuple[int | None, str | None]:
    parts = urlsplit(uri)
    query = dict(parse_qsl(parts.query))
    known = parts.scheme == "hsm" and set(query) <= {"label"} and not parts.netloc and not parts.fragment
    if not known or not (parts.path == "" or (parts.path.isascii() and parts.path.isdigit())):
        raise InputError(f"{uri} names no key on a token", hint=f"write {_FORM}")
    return (int(parts.path) if parts.path else None), query.get("label")


class _Pin:
    """Asks once, and answers securesystemslib from then on."""

    def __init__(self, pin: Secret) -> None:
        self._pin = pin
        self._known: str | None = None

    def __call__(self, _what: str) -> str:
        if self._known is None:
            self._known = self._pin()
        return self._known


@contextmanager
def _explained() -> Iterator[None]:
    """PKCS #11 and securesystemslib raise in their own ways; a person gets one line."""
    try:
        yield
    except ValueError as error:
        raise InputError(f"the token: {error}", hint=f"name the token and the key: {_FORM}") from error
    except RuntimeError as error:  # python-pkcs11's own, most of them without a text
        what = str(error) or type(error).__name__
        raise InputError(
            f"the token says {what}", hint="check the PIN, and that the token is plugged in"
        ) from error
