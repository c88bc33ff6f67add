"""Who may take part: Ed25519 device keys, and the roster with which a fleet's enrolment key certifies them.

One signature certifies all devices of a fleet at once, so that a device checks one signature, not one per
peer, and a server cannot show together devices that were never in one roster. Who is missing from the newest
roster is revoked. The enrolment key is not the coordinator's.
"""

from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from covey.errors import InputError, ProtocolError

MAX_ROSTER_BYTES: Final = 4 << 20
"""Largest roster that is read: room for some 40,000 devices."""

Device = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]

_Form = TypeVar("_Form", bound=msgspec.Struct)

# The y coordinates of the eight points of small order, and the two that have a second spelling y + p below
# 2^255. Under such a key one signature holds for every message, and OpenSSL accepts it.
_P: Final = (1 << 255) - 19
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8, _P, _P + 1})


def public_of(private: bytes) -> bytes:
    """The public key of an Ed25519 private key; 32 bytes each (RFC 8032, section 5.1.5).

    Raises:
        ValueError: Not 32 bytes.
    """
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def private_pem(private: bytes) -> bytes:
    """An Ed25519 private key as PKCS #8 in PEM, not encrypted (RFC 8410, section 7).

    Raises:
        ValueError: Not 32 bytes.
    """
    key = Ed25519PrivateKey.from_private_bytes(private)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def sign(private: bytes, kind: str, data: bytes) -> bytes:
    """An Ed25519 signature on data of one kind, 64 bytes (RFC 8032, section 5.1.6).

    Args:
        private: 32 bytes.
        kind: What `data` is. A signature on one kind never holds for another.
        data: The bytes as they are sent.

    Raises:
        ValueError: The key is not 32 bytes, or `kind` has a zero byte in it.
    """
    return signer(private)(kind, data)


Signer = Callable[[str, bytes], bytes]
"""Signs data of a kind, as `sign` does."""


def signer(private: bytes) -> Signer:
    """`sign` with the key read once, for many signatures in a row.

    Raises:
        ValueError: The key is not 32 bytes.
    """
    key = Ed25519PrivateKey.from_private_bytes(private)
    return lambda kind, data: key.sign(_signed(kind, data))


def verify(public: bytes, kind: str, data: bytes, signature: bytes, *, blame: str) -> None:
    """Check a signature of `sign`.

    Args:
        public: The signer's public key, 32 bytes.
        kind: As signed.
        data: As signed.
        signature: 64 bytes.
        blame: Who is named if it does not hold.

    Raises:
        ProtocolError: It does not hold, or the key is no key.
    """
    try:
        check_key(public)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _signed(kind, data))
    except (InvalidSignature, ValueError) as error:
        raise ProtocolError(f"a signature ({kind}) that does not hold", blame=blame) from error


def check_key(public: bytes) -> None:
    """Refuse public keys under which a signature says nothing: those of small order.

    Raises:
        ValueError: Not 32 bytes, or of small order.
    """
    if len(public) != 32:  # noqa: PLR2004 - RFC 8032
        raise ValueError(f"a public key of {len(public)} bytes")
    if int.from_bytes(public, "little") & ((1 << 255) - 1) in _SMALL_ORDER:
        raise ValueError("a public key of small order")


def _signed(kind: str, data: bytes) -> bytes:
    if "\0" in kind:  # would let a kind run into the data
        raise ValueError("a kind with a zero byte")
    return b"covey/v1/" + kind.encode() + b"\0" + data


class Certificate(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One device's entry.

    Attributes:
        device: Its id, 1 to 64 characters.
        key: Its Ed25519 public key, 32 bytes.
        not_after: The last second at which it holds, unix time.
    """

    device: Device
    key: Key
    not_after: Seconds


class Roster(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The devices of a fleet.

    Attributes:
        fleet: The fleet's name.
        serial: Grows with each roster; an older one is refused.
        expires: The last second at which it holds, unix time.
        simulation: Whether the fleet is simulated: no privacy is claimed for it.
        certificates: Sorted by device, no device and no key twice.
    """

    fleet: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    serial: Seconds
    expires: Seconds
    simulation: bool
    certificates: tuple[Certificate, ...]

    def key_of(self, device: str, now: int, *, blame: str = "server") -> bytes:
        """The public key of a device, 32 bytes.

        Args:
            device: Its id.
            now: Unix time, seconds.
            blame: Who is named if it may not take part: who showed it.

        Raises:
            ProtocolError: The device is not in the roster (unknown or revoked), or its certificate expired.
        """
        place = bisect_left(self.certificates, device, key=_device)
        if place == len(self.certificates) or self.certificates[place].device != device:
            raise ProtocolError(f"{device!r} is not in roster {self.serial}", blame=blame)
        if now > self.certificates[place].not_after:
            raise ProtocolError(f"the certificate of {device!r} has expired", blame=blame)
        return self.certificates[place].key


class _SignedRoster(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    body: bytes
    signature: Signature


def sign_roster(roster: Roster, private: bytes) -> bytes:
    """A roster as it is sent: its bytes and the enrolment key's signature (msgpack).

    Raises:
        InputError: No device would accept it.
    """
    body = msgspec.msgpack.encode(roster)
    data = msgspec.msgpack.encode(_SignedRoster(body, sign(private, "roster", body)))
    try:
        read_roster(data, public_of(private), now=0, least_serial=0)
    except ProtocolError as error:
        raise InputError(error.message, hint="correct the roster before signing it") from error
    return data


def read_roster(data: bytes, enrolment_key: bytes, *, now: int, least_serial: int) -> Roster:
    """Verify a roster. Nothing of it is decoded before the signature on it held.

    Args:
        data: As `sign_roster` gave it.
        enrolment_key: The fleet's, 32 bytes, from a place that the server cannot write to.
        now: Unix time, seconds.
        least_serial: The largest serial seen so far.

    Raises:
        ProtocolError: Too large, malformed, not signed by this key, expired, older than one seen before, not
            sorted, or with a device or key twice. Blames the server.
    """
    if len(data) > MAX_ROSTER_BYTES:
        raise _refusal(f"{len(data)} bytes, at most {MAX_ROSTER_BYTES}")
    signed = _decode(data, _SignedRoster)
    verify(enrolment_key, "roster", signed.body, signed.signature, blame="server")
    roster = _decode(signed.body, Roster)
    _check(roster.certificates)
    if now > roster.expires:
        raise _refusal(f"serial {roster.serial} has expired")
    if roster.serial < least_serial:
        raise _refusal(f"serial {roster.serial} after {least_serial} was seen")
    return roster


def claimed_roster(data: bytes) -> Roster:
    """What a signed roster says, with no signature checked: for whoever wrote it down.

    Raises:
        ProtocolError: Malformed.
    """
    return _decode(_decode(data, _SignedRoster).body, Roster)


def _decode(data: bytes, form: type[_Form]) -> _Form:
    """Strictly: one spelling of every content, so that a roster's hash names its content."""
    try:
        value = msgspec.msgpack.decode(data, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(f"malformed: {error}") from error
    if msgspec.msgpack.encode(value) != data:
        raise _refusal("malformed: not in its shortest form")
    return value


def _check(certificates: tuple[Certificate, ...]) -> None:
    for first, second in pairwise(certificates):
        if first.device >= second.device:
            raise _refusal(f"{second.device!r} after {first.device!r}: not sorted, or twice")
    if len({each.key for each in certificates}) != len(certificates):
        raise _refusal("one key for two devices")
    for each in certificates:
        try:
            check_key(each.key)
        except ValueError as error:
            raise _refusal(f"{each.device!r}: {error}") from error


def _device(certificate: Certificate) -> str:
    return certificate.device


def _refusal(fault: str) -> ProtocolError:
    return ProtocolError(f"a roster that cannot be used: {fault}", blame="server")
