"""The JSON of a model signature, decoded strictly: three nested formats, each with one accepted shape.

    Sigstore bundle v0.3    https://docs.sigstore.dev/about/bundle (the key variant: no certificate, no log)
    DSSE envelope           https://github.com/secure-systems-lab/dsse/blob/v1.0.0
    in-toto Statement v1    https://github.com/in-toto/attestation/tree/main/spec/v1
    with the predicate      https://model_signing/signature/v1.0 (OpenSSF model-signing)

The types say all that can be said about one field; `decode_bundle` and `decode_statement` add nothing to
them but the size cap. Field order is the upstream tool's.
"""

from typing import Annotated, Final, Literal, TypeVar

import msgspec

from covey.errors import PackageError
from covey.package.manifest import Sha256
from covey.package.names import MAX_FILES, SIGNATURE

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"

# 64 resources of a name and a digest, indented and in base64, stay far below.
MAX_SIGNATURE = 256 * 1024


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Base of every message here: a field that is not described is refused."""


class KeyIdentifier(_Strict, frozen=True):
    """Which key signed: SHA-256 of its public half in PEM."""

    hint: Sha256


class VerificationMaterial(_Strict, frozen=True):
    """A key identifier, and no transparency log: the log of Covey is its own ledger."""

    public_key: KeyIdentifier
    tlog_entries: Annotated[list[None], msgspec.Meta(max_length=0)]


class EnvelopeSignature(_Strict, frozen=True):
    """An ECDSA signature (RFC 3279 DER) over the envelope's pre-authentication encoding."""

    sig: bytes
    keyid: Literal[""]


class Envelope(_Strict, frozen=True):
    """DSSE: a payload, its type, and exactly one signature."""

    payload: bytes
    payload_type: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[list[EnvelopeSignature], msgspec.Meta(min_length=1, max_length=1)]


class Bundle(_Strict, frozen=True):
    """The content of `model.sig`."""

    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: VerificationMaterial
    dsse_envelope: Envelope


class RootDigest(_Strict, frozen=True):
    """SHA-256 over the resources' binary digests, in the order of the list."""

    sha256: Sha256


class Subject(_Strict, frozen=True):
    """What is signed as a whole; the name is for people."""

    name: str
    digest: RootDigest


class Resource(_Strict, frozen=True):
    """One signed file."""

    name: str
    algorithm: Literal["sha256"]
    digest: Sha256


class Serialization(_Strict, frozen=True, rename=None):
    """How files became resources: one by one.

    `ignore_paths` is what the signer left out. It grants nothing here: a file that is not a resource is
    refused whatever it says.
    """

    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: bool
    ignore_paths: list[str] = []


class Predicate(_Strict, frozen=True):
    """The files and how they were hashed."""

    serialization: Serialization
    resources: Annotated[list[Resource], msgspec.Meta(min_length=1, max_length=MAX_FILES)]


class Statement(_Strict, frozen=True):
    """The signed payload."""

    kind: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: Annotated[list[Subject], msgspec.Meta(min_length=1, max_length=1)]
    predicate_type: Literal["https://model_signing/signature/v1.0"]
    predicate: Predicate


_Message = TypeVar("_Message", bound=_Strict)


def decode_bundle(data: bytes) -> Bundle:
    """Read `model.sig`.

    Raises:
        PackageError: Not a bundle of the one accepted shape.
    """
    if len(data) > MAX_SIGNATURE:
        raise PackageError(f"{SIGNATURE}: larger than {MAX_SIGNATURE >> 10} KiB")
    return _decode(data, Bundle)


def decode_statement(payload: bytes) -> Statement:
    """Read the payload of an envelope. Call it on authenticated bytes only.

    Raises:
        PackageError: Not a Statement of the one accepted shape.
    """
    return _decode(payload, Statement)


def _decode(data: bytes, form: type[_Message]) -> _Message:
    try:
        return msgspec.json.decode(data, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PackageError(
            f"{SIGNATURE}: {error}", hint="expected an OpenSSF model signature v1.0 made with a key"
        ) from error
