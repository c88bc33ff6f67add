"""How a device comes into a fleet: it asks, and the fleet's owner admits it.

    Request     the device's keys and the name it would like, signed by its identity key
    Admission   its name, its certificate and whom it is to believe, signed by the fleet's enrolment key

Both are one JSON object, `{"signed": TEXT, "key": …, "signature": …}`, in which TEXT is JSON as well and is
signed as it stands. A file has one spelling, so that its hash names its content. What a request claims is
proved by nothing but the fingerprint of the key that signed it, which its owner compares with what the device
printed, or by an invitation (`covey.invitation`).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
from cryptography.x509.oid import NameOID

from covey.errors import InputError, ProtocolError
from covey.identity import public_of, sign, verify
from covey.ledger.note import read_vkey
from covey.policy.signed import Reviewers

MAX_REQUEST_BYTES: Final = 8 << 10
MAX_ADMISSION_BYTES: Final = 64 << 10
FINGERPRINT_BYTES: Final = 16
"""Of SHA-256: whoever wants another key with the same fingerprint tries 2^128."""

_NAME: Final = r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"
_BAD_DER: Final = (ValueError, TypeError, UnsupportedAlgorithm, NotImplementedError, x509.InvalidVersion)

DeviceName = Annotated[str, msgspec.Meta(pattern=_NAME)]
"""Of a file, of a certificate and in a terminal: letters, digits and `.`, `_`, `-` inside."""

Hash = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""32 bytes, hexadecimal."""

Url = Annotated[str, msgspec.Meta(pattern=r"\A([!-~]{1,512})?\Z")]
Signature = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{128}\Z")]
Der = Annotated[bytes, msgspec.Meta(min_length=1, max_length=4096)]

_Form = TypeVar("_Form", bound=msgspec.Struct)


class Request(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="format",
    tag="covey-request/1",
):
    """What a device asks for.

    Attributes:
        device: The name that it would like: what it is called in roster, ledger and budget for ever.
        node: Public key of its SuperNode, ECDSA P-384, a line as OpenSSH writes it, without a comment.
        csr: Request for its client certificate, ECDSA P-256 (PKCS #10, DER), of the same name.
    """

    device: DeviceName
    node: Annotated[str, msgspec.Meta(pattern=r"\Aecdsa-sha2-nistp384 [A-Za-z0-9+/]{1,300}={0,2}\Z")]
    csr: Der


class Admission(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="format",
    tag="covey-admission/1",
):
    """What the fleet's owner answers.

    Attributes:
        fleet: The fleet's name.
        device: The device's name.
        request: SHA-256 of the request that is answered.
        operator: Public key that signs plans.
        reviewers: Who sign policies, a key each.
        threshold: So many of them must have signed.
        ca: The fleet's certificate authority (X.509, DER).
        certificate: The device's certificate (X.509, DER), by that authority.
        server: Where the fleet's server is, a URL; empty if nobody said.
    """

    fleet: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    device: DeviceName
    request: Hash
    operator: Hash
    reviewers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=64)]
    threshold: Annotated[int, msgspec.Meta(ge=1, le=64)]
    ca: Der
    certificate: Der
    server: Url = ""


class _Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    signed: str
    key: Hash
    signature: Signature


@dataclass(frozen=True)
class Asked:
    """A request whose signatures held.

    Attributes:
        request: What it says.
        identity: The Ed25519 public key that signed it, 32 bytes.
        data: As it was sent.
        tls: The public key of its certificate request (SubjectPublicKeyInfo, DER).
    """

    request: Request
    identity: bytes
    data: bytes
    tls: bytes

    @property
    def digest(self) -> str:
        """What the request is called by: SHA-256 of it, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def fingerprint(self) -> str:
        """What people compare: of the identity key, which vouches for everything else in the request."""
        return fingerprint(self.identity)


@dataclass(frozen=True)
class Admitted:
    """An admission whose signatures held.

    Attributes:
        admission: What it says.
        enrolment: The public key that signed it, 32 bytes.
        data: As it was sent.
        reviewers: Who sign policies.
    """

    admission: Admission
    enrolment: bytes
    data: bytes
    reviewers: Reviewers


def fingerprint(key: bytes) -> str:
    """A public key as people compare it: half of its SHA-256 in groups, `1f0c-…`."""
    text = hashlib.sha256(key).digest()[:FINGERPRINT_BYTES].hex()
    return "-".join(text[place : place + 4] for place in range(0, len(text), 4))


def same_fingerprint(first: str, second: str) -> bool:
    """Whether two people read the same: case, spaces and dashes do not matter."""
    one, other = ("".join(char for char in text.lower() if char not in " -:") for text in (first, second))
    return one == other


def check_name(name: str) -> None:
    """Refuse what a device cannot be called.

    Raises:
        InputError: Not such a name.
    """
    try:
        msgspec.convert(name, DeviceName)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{name!r} cannot name a device",
            hint="use letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
        ) from error


def sign_request(request: Request, identity: bytes) -> bytes:
    """A request as it is sent.

    Args:
        request: What it says.
        identity: The device's private key, 32 bytes.

    Raises:
        InputError: Nobody would accept it.
    """
    data = _sealed(request, "enrolment request", identity)
    try:
        read_request(data)
    except ProtocolError as error:
        raise InputError(error.message, hint="correct the request before signing it") from error
    return data


def read_request(data: bytes) -> Asked:
    """Verify a request: its signature, and that each of its keys is what it should be.

    Raises:
        ProtocolError: It cannot be used. Blames the device.
    """
    _check_size(data, MAX_REQUEST_BYTES, "a request", "device")
    request, key = _opened(data, "enrolment request", Request, "device")
    for fault in _node_faults(request.node):
        raise _refusal("a request", fault, "device")
    return Asked(request, key, data, _requested_key(request))


def sign_admission(admission: Admission, enrolment: bytes) -> bytes:
    """An admission as it is sent.

    Args:
        admission: What it says.
        enrolment: The fleet's private key, 32 bytes.

    Raises:
        InputError: No device would accept it.
    """
    data = _sealed(admission, "admission", enrolment)
    try:
        read_admission(data)
    except ProtocolError as error:
        raise InputError(error.message, hint="correct the admission before signing it") from error
    return data


def read_admission(data: bytes, enrolment: bytes | None = None) -> Admitted:
    """Verify an admission: its signature, and that its certificate is of its authority.

    Args:
        data: As it was sent.
        enrolment: The fleet's public key; None to accept any, which the caller then has to show to somebody.

    Raises:
        ProtocolError: It cannot be used. Blames the server.
    """
    _check_size(data, MAX_ADMISSION_BYTES, "an admission", "server")
    admission, key = _opened(data, "admission", Admission, "server")
    if enrolment is not None and key != enrolment:
        raise _refusal("an admission", "signed by another fleet's key", "server")
    try:
        reviewers = Reviewers(tuple(map(read_vkey, admission.reviewers)), admission.threshold)
    except InputError as error:
        raise _refusal("an admission", error.message, "server") from error
    _check_certificate(admission)
    return Admitted(admission, key, data, reviewers)


def check_answers(admitted: Admitted, asked: Asked) -> None:
    """Refuse an admission of another device, or of other keys of this one.

    Raises:
        ProtocolError: It does not answer the request. Blames the server.
    """
    admission = admitted.admission
    if admission.request != asked.digest:
        raise _refusal("an admission", f"it answers another request ({admission.device})", "server")
    if admission.device != asked.request.device:
        raise _refusal("an admission", f"it is for {admission.device}", "server")
    if _spki(x509.load_der_x509_certificate(admission.certificate)) != asked.tls:
        raise _refusal("an admission", "its certificate is of another key", "server")


def _sealed(body: msgspec.Struct, kind: str, private: bytes) -> bytes:
    text = msgspec.json.encode(body)
    made = _Signed(text.decode(), public_of(private).hex(), sign(private, kind, text).hex())
    return msgspec.json.encode(made) + b"\n"


def _opened(data: bytes, kind: str, form: type[_Form], blame: str) -> tuple[_Form, bytes]:
    signed = decode(data, _Signed, blame)
    key, text = bytes.fromhex(signed.key), signed.signed.encode()
    verify(key, kind, text, bytes.fromhex(signed.signature), blame=blame)
    return decode(text + b"\n", form, blame), key


def decode(data: bytes, form: type[_Form], blame: str) -> _Form:
    """Read one line of JSON strictly: one spelling of every content.

    Raises:
        ProtocolError: Malformed.
    """
    try:
        value = msgspec.json.decode(data, type=form)
        again = msgspec.json.encode(value) + b"\n"
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _refusal("a message", f"malformed: {error}", blame) from error
    if again != data:
        raise _refusal("a message", "malformed: not in its one spelling", blame)
    return value


def _node_faults(line: str) -> Iterator[str]:
    try:
        key = load_ssh_public_key(line.encode())
    except _BAD_DER:
        yield "the SuperNode's key is no key"
        return
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP384R1):
        yield "the SuperNode's key is not of P-384"
    elif key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) != line.encode():
        yield "the SuperNode's key is not in its one spelling"


def _requested_key(request: Request) -> bytes:
    try:
        csr = x509.load_der_x509_csr(request.csr)
        key, holds, named = csr.public_key(), csr.is_signature_valid, _common_names(csr.subject)
    except _BAD_DER as error:
        raise _refusal("a request", "its certificate request is malformed", "device") from error
    if not holds or not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise _refusal("a request", "its certificate request is not signed by a P-256 key", "device")
    if named != [request.device]:
        raise _refusal("a request", "its certificate request is for another name", "device")
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_certificate(admission: Admission) -> None:
    try:
        ca = x509.load_der_x509_certificate(admission.ca)
        certificate = x509.load_der_x509_certificate(admission.certificate)
        certificate.verify_directly_issued_by(ca)
        named = _common_names(certificate.subject)
        _spki(certificate)
    except (*_BAD_DER, InvalidSignature) as error:
        raise _refusal("an admission", "its certificate is not of its authority", "server") from error
    if named != [admission.device]:
        raise _refusal("an admission", "its certificate is for another name", "server")


def _common_names(name: x509.Name) -> list[str | bytes]:
    return [each.value for each in name.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_size(data: bytes, most: int, what: str, blame: str) -> None:
    if len(data) > most:
        raise _refusal(what, f"{len(data)} bytes, at most {most}", blame)


def _refusal(what: str, fault: str, blame: str) -> ProtocolError:
    return ProtocolError(f"{what} that cannot be used: {fault}", blame=blame)
