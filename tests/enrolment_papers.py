"""Requests and admissions of a fleet that is nowhere on disk."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from covey.enrolment import Admission, Asked, Request, read_request, sign_admission, sign_request
from covey.identity import public_of, sign
from covey_server.fleet_ca import Authority, new_authority
from memory_ledger import REVIEWER

ENROLMENT = b"enrolment of the papers' fleet--"
OPERATOR = b"the operator of the papers' one-"
NOW = 1_790_000_000


@cache
def ec_key(name: str, curve: type[EllipticCurve] = SECP256R1) -> EllipticCurvePrivateKey:
    """A key for a test's run."""
    del name
    return generate_private_key(curve())


@cache
def authority(name: str = "papers") -> Authority:
    return new_authority(name, ec_key(f"authority {name}"), NOW)


def csr(device: str, key: EllipticCurvePrivateKey | None = None) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key or ec_key(f"tls {device}"), SHA256()).public_bytes(Encoding.DER)


def node(device: str, curve: type[EllipticCurve] = SECP384R1) -> str:
    public = ec_key(f"node {device}", curve).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def identity(device: str) -> bytes:
    return device.encode().ljust(32, b"-")


def request(device: str = "pi-07", **changes: Any) -> Request:
    if "csr" not in changes:
        changes["csr"] = csr(device)
    return Request(**({"device": device, "node": node(device)} | changes))


def signed_request(asked: Request, key: bytes | None = None) -> bytes:
    """As a device would sign it, if it signed whatever it is given."""
    return sealed(asked, "enrolment request", key or identity(asked.device))


@cache
def asked(device: str = "pi-07") -> Asked:
    return read_request(sign_request(request(device), identity(device)))


def admission(of: Asked, **changes: Any) -> Admission:
    fields: dict[str, Any] = {
        "fleet": "papers",
        "device": of.request.device,
        "request": of.digest,
        "operator": public_of(OPERATOR).hex(),
        "reviewers": (REVIEWER.verifier.vkey,),
        "threshold": 1,
        "ca": authority().der,
        "certificate": authority().client(of.request.device, of.tls, NOW),
        "server": "https://fleet.example",
    }
    return Admission(**(fields | changes))


def admitted(of: Asked, key: bytes = ENROLMENT, **changes: Any) -> bytes:
    return sign_admission(admission(of, **changes), key)


@dataclass(frozen=True)
class Envelope:
    """What is signed and by whom, for tests that bend it."""

    signed: str
    key: str
    signature: str


def sealed(body: Any, kind: str, private: bytes) -> bytes:
    """A body of whatever content, with a signature that holds."""
    text = body if isinstance(body, bytes) else msgspec.json.encode(body)
    made = Envelope(text.decode(), public_of(private).hex(), sign(private, kind, text).hex())
    return msgspec.json.encode(made) + b"\n"
