"""Sign a list of digests and verify it: the OpenSSF model-signing format by a key.

What is signed is the DSSE pre-authentication encoding of an in-toto Statement, over the payload's bytes as
they stand in the file; they are decoded only after the signature on them held. `model_signing verify key`
accepts what `sign` writes, and `verify` accepts what `model_signing sign key` writes.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping

import msgspec
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from covey.errors import PackageError
from covey.package.bundle import (
    MEDIA_TYPE,
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    Bundle,
    Envelope,
    EnvelopeSignature,
    KeyIdentifier,
    Predicate,
    Resource,
    RootDigest,
    Serialization,
    Statement,
    Subject,
    VerificationMaterial,
    decode_bundle,
    decode_statement,
)
from covey.package.keys import fingerprint
from covey.package.names import SIGNATURE, check_name


def sign(name: str, digests: Mapping[str, str], key: ec.EllipticCurvePrivateKey) -> bytes:
    """A signature over files, given by their digests.

    Args:
        name: What the files are as a whole; for people, not compared by verifiers.
        digests: SHA-256 in hexadecimal, by file name.
        key: On P-256. The nonce is derived (RFC 6979): the same files and key give the same signature.

    Returns:
        The content of `model.sig`.
    """
    payload = rfc8785.dumps(msgspec.to_builtins(_statement(name, digests)))
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    signature = EnvelopeSignature(sig=key.sign(pre_authentication(payload), algorithm), keyid="")
    bundle = Bundle(
        media_type=MEDIA_TYPE,
        verification_material=VerificationMaterial(
            public_key=KeyIdentifier(hint=fingerprint(key.public_key())), tlog_entries=[]
        ),
        dsse_envelope=Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signatures=[signature]),
    )
    return msgspec.json.encode(bundle)


def verify(data: bytes, key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """The digests that `key` signed.

    Args:
        data: The content of `model.sig`.
        key: The public key that is trusted for this, on P-256.

    Returns:
        SHA-256 in hexadecimal by file name: exactly the files that belong to the package.

    Raises:
        PackageError: Malformed, made by another key, or not matching what it signs.
    """
    bundle = decode_bundle(data)
    _check_hint(bundle.verification_material.public_key.hint, fingerprint(key))
    envelope = bundle.dsse_envelope
    try:
        signed = pre_authentication(envelope.payload)
        key.verify(envelope.signatures[0].sig, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise PackageError(f"{SIGNATURE}: the signature does not match what it signs") from error
    return _signed_digests(decode_statement(envelope.payload))


def signer_hint(data: bytes) -> str:
    """The fingerprint of the key that `model.sig` says it was made with. A claim: nothing is checked.

    Raises:
        PackageError: `data` is malformed.
    """
    return decode_bundle(data).verification_material.public_key.hint


def pre_authentication(payload: bytes) -> bytes:
    """What the signature covers: PAE(type, payload), DSSE protocol v1.0.0, "Signature Definition"."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _statement(name: str, digests: Mapping[str, str]) -> Statement:
    # Upstream sorts by path, part by part, which is not the order of the strings ("-" sorts before "/").
    ordered = sorted(digests, key=lambda path: path.split("/"))
    resources = [Resource(name=path, algorithm="sha256", digest=digests[path]) for path in ordered]
    serialization = Serialization(
        method="files", hash_type="sha256", allow_symlinks=False, ignore_paths=[SIGNATURE]
    )
    return Statement(
        kind=STATEMENT_TYPE,
        subject=[Subject(name=name, digest=RootDigest(sha256=_root(resources)))],
        predicate_type=PREDICATE_TYPE,
        predicate=Predicate(serialization=serialization, resources=resources),
    )


def _signed_digests(statement: Statement) -> dict[str, str]:
    resources = statement.predicate.resources
    for resource in resources:
        check_name(resource.name)
    digests = {resource.name: resource.digest for resource in resources}
    if len(digests) != len(resources):
        raise PackageError(f"{SIGNATURE}: signs a file twice")
    if not hmac.compare_digest(_root(resources), statement.subject[0].digest.sha256):
        raise PackageError(f"{SIGNATURE}: its digest of the whole is not that of its parts")
    return digests


def _root(resources: Iterable[Resource]) -> str:
    digests = b"".join(bytes.fromhex(resource.digest) for resource in resources)
    return hashlib.sha256(digests).hexdigest()


def _check_hint(found: str, trusted: str) -> None:
    if not hmac.compare_digest(found, trusted):
        raise PackageError(
            f"{SIGNATURE}: made with the key {found[:16]}, checked with the key {trusted[:16]}",
            hint="get the publisher's public key from the publisher, not from where the package was",
        )
