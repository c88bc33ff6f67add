"""The signature: strict, deterministic, and the same format as the upstream tool's."""

import hashlib
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.errors import InputError, PackageError
from covey.package import signature
from covey.package.bundle import Bundle, decode_bundle
from covey.package.keys import fingerprint, load_private_key, load_public_key, new_signing_key
from packages_fixture import keys

PRIVATE, PUBLIC = (load_private_key(keys()[0]), load_public_key(keys()[1]))
CONTENT = {"a-b": b"1", "a/b": b"2", "a.txt": b"3", "c": b""}
DIGESTS = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
SIGNED = signature.sign("m", DIGESTS, PRIVATE)


def with_payload(payload: bytes) -> bytes:
    """A bundle by our key over any payload."""
    bundle = decode_bundle(SIGNED)
    sig = PRIVATE.sign(signature.pre_authentication(payload), ec.ECDSA(hashes.SHA256()))
    envelope = msgspec.structs.replace(
        bundle.dsse_envelope,
        payload=payload,
        signatures=[msgspec.structs.replace(bundle.dsse_envelope.signatures[0], sig=sig)],
    )
    return msgspec.json.encode(msgspec.structs.replace(bundle, dsse_envelope=envelope))


def payload() -> bytes:
    return decode_bundle(SIGNED).dsse_envelope.payload


def test_it_gives_back_what_was_signed() -> None:
    assert signature.verify(SIGNED, PUBLIC) == DIGESTS


def test_the_same_files_and_key_give_the_same_bytes() -> None:
    assert signature.sign("m", dict(reversed(DIGESTS.items())), PRIVATE) == SIGNED


def test_the_pre_authentication_encoding_is_that_of_dsse() -> None:
    # The shape of the specification's own example: "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body.
    assert signature.pre_authentication(b"hello") == b"DSSEv1 28 application/vnd.in-toto+json 5 hello"


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_mutated_bundle_is_refused_or_says_the_same(data: st.DataObject) -> None:
    mutated = bytearray(SIGNED)
    mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    try:
        digests = signature.verify(bytes(mutated), PUBLIC)
    except PackageError:
        return
    assert digests == DIGESTS


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PackageError, match=r"model\.sig"):
        signature.verify(data, PUBLIC)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["mediaType", "dsseEnvelope", "verificationMaterial", "payload"]), x
            )
        ),
    )
)
@settings(deadline=None)
def test_any_json_is_refused(value: object) -> None:
    with pytest.raises(PackageError, match=r"model\.sig"):
        signature.verify(msgspec.json.encode(value), PUBLIC)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"https://in-toto.io/Statement/v1", b"https://in-toto.io/Statement/v0.1"),
        (b"https://model_signing/signature/v1.0", b"https://model_signing/Digests/v0.1"),
        (b'"method":"files"', b'"method":"shards"'),
        (b'"hash_type":"sha256"', b'"hash_type":"blake2b"'),
        (b'"algorithm":"sha256"', b'"algorithm":"sha512"'),
        (b'"name":"a.txt"', b'"name":"../txt"'),
        (b'"name":"a.txt"', b'"name":"a/b"'),
        (b'"allow_symlinks":false', b'"allow_symlinks":false,"more":1'),
        (DIGESTS["c"].encode(), DIGESTS["a.txt"].encode()),
        (DIGESTS["c"].encode(), DIGESTS["c"].upper().encode()),
    ],
)
def test_a_signed_statement_of_another_shape_is_refused(old: bytes, new: bytes) -> None:
    assert old in payload()
    with pytest.raises(PackageError, match=r"model\.sig|name"):
        signature.verify(with_payload(payload().replace(old, new)), PUBLIC)


def test_our_own_statement_through_the_same_path_is_accepted() -> None:
    assert signature.verify(with_payload(payload()), PUBLIC) == DIGESTS


def test_two_signatures_or_none_are_refused() -> None:
    bundle = decode_bundle(SIGNED)
    for signatures in ([], bundle.dsse_envelope.signatures * 2):
        envelope = msgspec.structs.replace(bundle.dsse_envelope, signatures=signatures)
        data = msgspec.json.encode(msgspec.structs.replace(bundle, dsse_envelope=envelope))
        with pytest.raises(PackageError, match="signatures"):
            signature.verify(data, PUBLIC)


def test_another_payload_type_is_refused() -> None:
    with pytest.raises(PackageError, match="payloadType"):
        signature.verify(SIGNED.replace(b"vnd.in-toto+json", b"vnd.in-toto+jsom"), PUBLIC)


def test_another_key_is_refused_and_both_are_named() -> None:
    other = load_public_key(new_signing_key()[1])
    with pytest.raises(PackageError) as caught:
        signature.verify(SIGNED, other)
    assert fingerprint(other)[:16] in str(caught.value)
    assert fingerprint(PUBLIC)[:16] in str(caught.value)


def test_a_hint_that_claims_the_trusted_key_is_not_believed() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    forged = signature.sign("m", DIGESTS, other)
    forged = forged.replace(fingerprint(other.public_key()).encode(), fingerprint(PUBLIC).encode())
    with pytest.raises(PackageError, match="does not match"):
        signature.verify(forged, PUBLIC)


def test_a_fingerprint_is_what_sha256sum_prints() -> None:
    assert fingerprint(PUBLIC) == hashlib.sha256(keys()[1]).hexdigest()


def test_keys_of_other_kinds_are_refused_with_the_next_step() -> None:
    for private in (ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()):
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(InputError, match="prime256v1"):
            load_private_key(pem)
        with pytest.raises(InputError, match="prime256v1"):
            load_public_key(public)


def test_what_is_no_key_is_refused_with_the_next_step() -> None:
    with pytest.raises(InputError, match="BEGIN PUBLIC KEY"):
        load_public_key(b"hello")
    with pytest.raises(InputError, match="private key"):
        load_public_key(keys()[0])
    with pytest.raises(InputError, match="prime256v1"):
        load_private_key(keys()[1])
    locked = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    with pytest.raises(InputError, match="encrypted"):
        load_private_key(locked)


def upstream(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the reference tool."""
    command = [sys.executable, "-W", "ignore", "-m", "model_signing", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The signed files and both keys on disk, `model.sig` not yet."""
    for name, data in CONTENT.items():
        (tmp_path / "m" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / name).write_bytes(data)
    (tmp_path / "key.pem").write_bytes(keys()[0])
    (tmp_path / "pub.pem").write_bytes(keys()[1])
    return tmp_path / "m"


def test_upstream_verifies_what_we_sign(model: Path) -> None:
    (model / "model.sig").write_bytes(SIGNED)
    arguments = ["--public_key", str(model.parent / "pub.pem"), "--signature", str(model / "model.sig")]
    result = upstream("verify", "key", str(model), *arguments)
    assert result.returncode == 0, result.stderr
    (model / "c").write_bytes(b"changed")
    assert upstream("verify", "key", str(model), *arguments).returncode != 0


def test_we_verify_what_upstream_signs(model: Path) -> None:
    arguments = ["--private_key", str(model.parent / "key.pem"), "--signature", str(model / "model.sig")]
    result = upstream("sign", "key", str(model), *arguments)
    assert result.returncode == 0, result.stderr
    data = (model / "model.sig").read_bytes()
    assert signature.verify(data, PUBLIC) == DIGESTS
    # The same fields in the same order: our type describes all that upstream writes.
    assert msgspec.json.encode(msgspec.json.decode(data, type=Bundle)) == data
