"""Invitations: a token that a person carries from the fleet's owner to one device.

From the token's secret follow two values that tell nothing of each other:

    gate    the device shows it to the server, which knows its hash only and lets one request in
    proof   a MAC on the request, under a key that only device and owner know: the server passes it on, and
            cannot make one for a request of its own

Beside the secret stands the fleet's pin, a hash of its enrolment key and its certificate authority: a device
that has the token believes nobody else.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from covey.enrolment import MAX_REQUEST_BYTES, Der, Hash
from covey.errors import InputError
from covey.fields import fields

SECRET_BYTES: Final = 16
PIN_BYTES: Final = 32
MAX_SUBMISSION_BYTES: Final = 2 * MAX_REQUEST_BYTES
"""A request within JSON: its quotation marks are escaped."""

_PREFIX: Final = "covey1-"
_CHECK_BYTES: Final = 4
_HINT: Final = "copy all of it, from covey1- to its end, as `covey fleet invite` printed it"


@dataclass(frozen=True)
class Token:
    """What `covey fleet invite` prints.

    Attributes:
        secret: 16 random bytes, used once. Not shown when printed.
        pin: See `pin_of`.
    """

    secret: bytes = field(repr=False)
    pin: bytes

    @property
    def text(self) -> str:
        """The token as one word, with a check that finds a slip of the pen."""
        body = self.secret + self.pin
        return _PREFIX + base64.urlsafe_b64encode(body + _check(body)).decode().rstrip("=")

    @property
    def gate(self) -> bytes:
        """What the server is shown, 32 bytes."""
        return hashlib.sha256(b"covey/v1/invitation gate\0" + self.secret).digest()

    @property
    def proof_key(self) -> bytes:
        """What only the device and the fleet's owner know, 32 bytes."""
        return hashlib.sha256(b"covey/v1/invitation proof\0" + self.secret).digest()

    @property
    def invitation(self) -> str:
        """What the invitation is called by: SHA-256 of the gate, hexadecimal."""
        return hashlib.sha256(self.gate).hexdigest()


class Invitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the server keeps of an invitation; its file is called by the gate's SHA-256.

    Attributes:
        device: Only a device of this name may use it; empty for any.
        expires: Its last second, unix time.
    """

    device: Annotated[str, msgspec.Meta(max_length=64)] = ""
    expires: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class Submission(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a device sends.

    Attributes:
        request: The signed request.
        gate: See `Token`.
        proof: See `proof`.
    """

    request: str
    gate: Hash
    proof: Hash


class Waiting(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="format",
    tag="covey-waiting/1",
):
    """What the server keeps of a submission, for the owner.

    Attributes:
        request: The signed request.
        invitation: What it came with; see `Token.invitation`.
        proof: For the owner to check.
    """

    request: str
    invitation: Hash
    proof: Hash


class Anchors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a device fetches before it trusts the server, to compare with the token's pin.

    Attributes:
        enrolment: The fleet's enrolment key, hexadecimal.
        ca: Its certificate authority (X.509, DER).
    """

    enrolment: Hash
    ca: Der

    @property
    def pin(self) -> bytes:
        """See `pin_of`."""
        return pin_of(bytes.fromhex(self.enrolment), self.ca)


def pin_of(enrolment: bytes, ca: bytes) -> bytes:
    """A fleet as a token names it, 32 bytes.

    Args:
        enrolment: Its enrolment key, 32 bytes.
        ca: Its certificate authority (X.509, DER).
    """
    return hashlib.sha256(fields("covey/v1/fleet pin", enrolment, ca)).digest()


def read_token(text: str) -> Token:
    """A token from what `covey fleet invite` printed.

    Raises:
        InputError: It is not one, or not all of one. Nothing of it is shown.
    """
    text = text.strip()
    body = text.removeprefix(_PREFIX)
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("the token cannot be read", hint=_HINT) from error
    told, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if len(told) != SECRET_BYTES + PIN_BYTES or check != _check(told):
        raise InputError("the token has a slip in it, or is not all there", hint=_HINT)
    token = Token(told[:SECRET_BYTES], told[SECRET_BYTES:])
    if token.text != text:
        raise InputError("the token cannot be read", hint=_HINT)
    return token


def proof(key: bytes, request: bytes) -> str:
    """That whoever made a request held the token: HMAC-SHA-256, hexadecimal.

    Args:
        key: See `Token.proof_key`.
        request: As it is sent.
    """
    return hmac.new(key, b"covey/v1/invited request\0" + request, hashlib.sha256).hexdigest()


def proves(key: bytes, request: bytes, given: str) -> bool:
    """Whether a proof holds, in a time that does not depend on where it is wrong."""
    return hmac.compare_digest(proof(key, request), given)


def _check(body: bytes) -> bytes:
    return hashlib.sha256(b"covey/v1/token check\0" + body).digest()[:_CHECK_BYTES]
