"""Signed notes: the published vectors, the form, whose signatures count; and notes that somebody damaged."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, SECP384R1, EllipticCurve
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_ecdsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import InputError, ProtocolError
from covey.identity import public_of
from covey.ledger.note import (
    COSIGNATURE,
    ECDSA_P256,
    ED25519,
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Cosigner,
    Ed25519Signer,
    Note,
    Signature,
    Verifier,
    countersigned,
    holders,
    parse,
    read_vkey,
    signed,
    verified,
)

# The vectors of golang.org/x/mod/sumdb/note.
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_PRIVATE = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
PETER_LINE = (
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
SECRET = base64.b64encode(bytes(range(32))).decode()
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
ENOCH_LINE = (
    "— EnochRoot "
    "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
REKOR = (
    "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLO"
    "C96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc="
)
BOTH = f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode()


def signer(number: int, name: str = "") -> Ed25519Signer:
    return Ed25519Signer(name or f"reviewer{number}", hashlib.sha256(b"reviewer %d" % number).digest())


class EcdsaSigner:
    """A P-256 key, as a token would hold it."""

    def __init__(self, name: str, curve: EllipticCurve) -> None:
        self._key = new_ecdsa(curve)
        self.name = name

    @property
    def spki(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, ECDSA_P256, self.spki)

    def sign(self, text: bytes) -> bytes:
        return self._key.sign(text, ECDSA(SHA256()))


def test_the_published_note_is_made_and_read() -> None:
    note = f"{TEXT}\n{PETER_LINE}".encode()
    assert signed(TEXT, Ed25519Signer("PeterNeumann", PETER_PRIVATE)) == note
    assert Ed25519Signer("PeterNeumann", PETER_PRIVATE).verifier.vkey == PETER
    parsed = parse(note, blame="server")
    assert parsed.text == TEXT
    assert holders(parsed, [read_vkey(PETER)], blame="server") == (read_vkey(PETER),)


def test_published_keys_have_the_ids_they_were_published_with() -> None:
    for text, algorithm in ((PETER, ED25519), (ENOCH, ED25519), (REKOR, ECDSA_P256)):
        key = read_vkey(text)
        assert (key.vkey, key.algorithm) == (text, algorithm)
        assert key.key_id.hex() == text.split("+")[1]


def test_signatures_of_unknown_keys_are_ignored() -> None:
    note = parse(BOTH, blame="server")
    peter, enoch = read_vkey(PETER), read_vkey(ENOCH)
    assert holders(note, [enoch, peter], blame="server") == (enoch, peter)
    assert holders(note, [enoch], blame="server") == (enoch,)
    assert holders(note, [], blame="server") == ()
    # the same name or the same id alone does not make a key known
    same_name = signer(1, "PeterNeumann").verifier
    same_id = Note(TEXT, (Signature("Peter", peter.key_id, b"no signature"),))
    assert holders(note, [same_name], blame="server") == ()
    assert holders(same_id, [peter], blame="server") == ()


def test_a_key_that_signed_twice_counts_once() -> None:
    note = parse(f"{TEXT}\n{PETER_LINE * 3}".encode(), blame="server")
    peter = read_vkey(PETER)
    assert holders(note, [peter, peter], blame="server") == (peter,)
    assert verified(note, [peter, peter], blame="server") == ((peter, note.signatures[0]),) * 3


def test_a_bad_signature_of_a_known_key_spoils_the_note() -> None:
    bad = Note(
        TEXT, (*parse(BOTH, blame="x").signatures, Signature("EnochRoot", read_vkey(ENOCH).key_id, bytes(64)))
    )
    assert holders(bad, [read_vkey(PETER)], blame="server") == (read_vkey(PETER),)
    with pytest.raises(ProtocolError, match="'EnochRoot' that does not hold") as caught:
        holders(bad, [read_vkey(ENOCH), read_vkey(PETER)], blame="device-3")
    assert caught.value.blame == "device-3"


def test_ids_that_collide_do_not_confuse_two_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verifier, "key_id", property(lambda _: b"same"))
    one, two = (signer(each, "fleet") for each in (1, 2))
    note = parse(signed("a\n", one), blame="server")
    assert holders(note, [two.verifier, one.verifier], blame="server") == (one.verifier,)


def test_ecdsa_signatures_hold() -> None:
    token = EcdsaSigner("token", SECP256R1())
    note = parse(signed(TEXT, token), blame="server")
    assert token.verifier.key_id == hashlib.sha256(token.spki).digest()[:4]
    assert holders(note, [token.verifier], blame="server") == (token.verifier,)
    assert read_vkey(token.verifier.vkey) == token.verifier
    other = Note("another text\n", note.signatures)
    with pytest.raises(ProtocolError, match="does not hold"):
        holders(other, [token.verifier], blame="server")


def test_only_p256_keys_in_plain_der_are_taken() -> None:
    ed25519 = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    for der in (
        EcdsaSigner("x", SECP384R1()).spki,
        ed25519.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        EcdsaSigner("x", SECP256R1()).spki + b"\0",
        b"",
        b"0",
    ):
        with pytest.raises(ValueError, match=r"."):
            Verifier("x", ECDSA_P256, der)


def test_a_compressed_point_is_not_a_second_spelling_of_a_key() -> None:
    plain = EcdsaSigner("x", SECP256R1()).spki
    x, y = plain[-64:-32], plain[-32:]
    point = bytes([2 + (y[-1] & 1)]) + x
    compressed = b"\x30\x39" + plain[2:23] + b"\x03\x22\x00" + point
    with pytest.raises(ValueError, match="plain form"):
        Verifier("x", ECDSA_P256, compressed)


def test_a_cosignature_signs_its_time_and_the_text() -> None:
    private = hashlib.sha256(b"witness").digest()
    note = parse(signed("log\n0\nroot\n", Cosigner("w.example", private, 1679315147)), blame="server")
    data = note.signatures[0].data
    # computed without the code under test
    message = b"cosignature/v1\ntime 1679315147\nlog\n0\nroot\n"
    assert data == (1679315147).to_bytes(8, "big") + Ed25519PrivateKey.from_private_bytes(private).sign(
        message
    )
    key_id = hashlib.sha256(b"w.example\n\x04" + public_of(private)).digest()[:4]
    assert (note.signatures[0].key_id, note.signatures[0].time) == (key_id, 1679315147)
    witness = Verifier("w.example", COSIGNATURE, public_of(private))
    assert holders(note, [witness], blame="server") == (witness,)


@pytest.mark.parametrize("length", [0, 7, 8, 71, 73])
def test_a_cosignature_of_another_length_does_not_hold(length: int) -> None:
    cosigner = Cosigner("w", bytes(32), 5)
    assert cosigner.verifier.holds(b"text\n", cosigner.sign(b"text\n"))
    assert not cosigner.verifier.holds(b"text\n", cosigner.sign(b"text\n").ljust(length, b"\0")[:length])


def test_a_cosignature_at_another_time_does_not_hold() -> None:
    cosigner = Cosigner("w", bytes(32), 5)
    data = cosigner.sign(b"text\n")
    for time in (0, 4, 6, (1 << 64) - 1):
        assert not cosigner.verifier.holds(b"text\n", time.to_bytes(8) + data[8:])


@pytest.mark.parametrize("time", [-1, 1 << 63])
def test_a_cosignature_names_a_time_that_there_is(time: int) -> None:
    with pytest.raises(ValueError, match="a cosignature at"):
        Cosigner("w", bytes(32), time).sign(b"text\n")


def test_one_key_of_two_kinds_is_two_keys() -> None:
    log, witness = Ed25519Signer("x", bytes(32)).verifier, Cosigner("x", bytes(32), 1).verifier
    assert log.key == witness.key
    assert log.key_id != witness.key_id
    note = parse(signed("a\n", Ed25519Signer("x", bytes(32))), blame="server")
    assert holders(note, [witness], blame="server") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        PETER.replace("c74f20a3", "c74f20a4"),
        PETER.replace("c74f20a3", "C74F20A3"),
        PETER.replace("c74f20a3", "c74f20\N{LATIN SMALL LETTER A WITH GRAVE}3"),
        PETER.replace("PeterNeumann", "Peter Neumann"),
        PETER.replace("PeterNeumann", ""),
        PETER + "=",
        PETER[:-1],
        # a key of 38 bytes and one of unknown type, each with the id that it would have
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "x+00000000+",
    ],
)
def test_what_is_no_public_key_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_vkey(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
        f"name+01234567+-----BEGIN PRIVATE KEY-----\n{SECRET}",
        SECRET,
        bytes(range(32)).hex(),
        f"{SECRET}+{SECRET}+{SECRET}",
        f"name+01234567+{SECRET}",
        f"name+01234567+AQ{SECRET}",
    ],
)
def test_a_private_key_given_by_mistake_is_not_shown(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_vkey(text)
    said = f"{caught.value}{caught.value.hint}"
    assert SECRET[:8] not in said
    assert bytes(range(32)).hex()[:8] not in said
    if "BEGIN" in text:
        assert "it looks like a private one" in said
        assert "show the private key to nobody" in said


def test_no_part_of_a_public_key_and_no_changed_one_is_a_public_key() -> None:
    parts = {PETER[i:j] for i in range(len(PETER)) for j in range(i + 1, len(PETER) + 1)} - {PETER}
    changed = {PETER[:i] + chr(ord(PETER[i]) + 1) + PETER[i + 1 :] for i in range(len(PETER))}
    for text in parts | changed:
        with pytest.raises(InputError):
            read_vkey(text)


def test_keys_of_small_order_are_refused() -> None:
    name, key = b"x", b"\1" + bytes([1]) + bytes(31)
    key_id = hashlib.sha256(name + b"\n" + key).hexdigest()[:8]
    with pytest.raises(InputError, match="small order"):
        read_vkey(f"x+{key_id}+{base64.b64encode(key).decode()}")


def test_white_space_around_a_public_key_is_ignored() -> None:
    assert read_vkey(f" {PETER}\n") == read_vkey(PETER)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\nb"])
def test_a_name_fits_into_a_signature_line(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a key"):
        Verifier(name, ED25519, read_vkey(PETER).key)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        TEXT.encode(),
        f"{TEXT}\n".encode(),
        PETER_LINE.encode(),
        b"\n" + PETER_LINE.encode(),
        f"{TEXT}\n{PETER_LINE[:-1]}".encode(),
        f"{TEXT}{PETER_LINE}".encode(),
        f"\x01{TEXT}\n{PETER_LINE}".encode(),
        f"\t{TEXT}\n{PETER_LINE}".encode(),
        f"{TEXT}\n{PETER_LINE}".replace("\n", "\r\n").encode(),
        b"\xff" + BOTH,
        b"\xed\xa0\x80" + BOTH,
        f"{TEXT}\n{PETER_LINE.replace('PeterNeumann', 'Bad Name')}".encode(),
        f"{TEXT}\n{PETER_LINE.replace('PeterNeumann', 'Bad+Name')}".encode(),
        f"{TEXT}\n{PETER_LINE.replace('PeterNeumann', '')}".encode(),
        f"{TEXT}\n{PETER_LINE}Unexpected line.\n".encode(),
        f"{TEXT}\n{PETER_LINE}\n".encode(),
        f"{TEXT}\n{PETER_LINE.replace('—', '-')}".encode(),
        f"{TEXT}\n— PeterNeumann\n".encode(),
        f"{TEXT}\n— PeterNeumann x08gow==\n".encode(),
        f"{TEXT}\n{PETER_LINE.replace('AM=', 'AN=')}".encode(),
        f"{TEXT}\n{PETER_LINE.replace('AM=', 'AM')}".encode(),
        f"{TEXT}\n{PETER_LINE.replace('x08', 'x-8')}".encode(),
        f"{TEXT}\n{PETER_LINE * (MAX_SIGNATURES + 1)}".encode(),
        b"a" * MAX_NOTE_BYTES + b"\n\n" + PETER_LINE.encode(),
    ],
)
def test_a_malformed_note_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(data, blame="device-1")
    assert caught.value.blame == "device-1"


def test_as_many_signatures_as_allowed_are_read() -> None:
    note = parse(f"{TEXT}\n{PETER_LINE * MAX_SIGNATURES}".encode(), blame="server")
    assert len(note.signatures) == MAX_SIGNATURES


def test_the_last_blank_line_ends_the_text() -> None:
    for text in ("\n", "a\n\nb\n", "a\n\n\n", f"quoted\n\n{PETER_LINE}"):
        data = signed(text, signer(1))
        assert parse(data, blame="server").text == text
        assert holders(parse(data, blame="server"), [signer(1).verifier], blame="server")


def test_other_line_ends_of_unicode_are_text() -> None:
    text = "a\u2028b\u0085c\n"
    assert parse(signed(text, signer(1)), blame="server").text == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "newline"),
        ("a", "newline"),
        ("a\nb\tc\n", "line 2"),
        ("a\r\n", "line 1"),
        ("\ud800\n", "Unicode"),
    ],
)
def test_a_text_that_no_note_can_hold_is_not_signed(text: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault) as caught:
        signed(text, signer(1))
    assert caught.value.hint


def test_a_note_has_one_signature_at_least_and_not_too_many() -> None:
    for signers in ([], [signer(each) for each in range(MAX_SIGNATURES + 1)]):
        with pytest.raises(InputError, match="signatures"):
            signed(TEXT, *signers)
    with pytest.raises(InputError, match="too many for a note"):
        signed("a" * MAX_NOTE_BYTES + "\n", signer(1))


def test_a_second_signature_joins_the_first() -> None:
    first = signed(TEXT, signer(1))
    both = countersigned(first, signer(2))
    assert both.startswith(first)
    known = [signer(each).verifier for each in (1, 2, 3)]
    assert holders(parse(both, blame="server"), known, blame="server") == tuple(known[:2])
    assert countersigned(both, signer(2)) == both  # not twice by one key


def test_a_full_note_takes_no_more() -> None:
    full = signed(TEXT, *(signer(each) for each in range(MAX_SIGNATURES)))
    assert countersigned(full, signer(MAX_SIGNATURES - 1)) == full
    with pytest.raises(InputError, match="no room"):
        countersigned(full, signer(MAX_SIGNATURES))


def test_a_private_key_is_not_shown() -> None:
    for each in (signer(1), Cosigner("w", signer(1).private, 1)):
        assert "private" not in repr(each)


# What comes from outside, made up or damaged.

names = st.text(min_size=1, max_size=12).filter(
    lambda name: "+" not in name and not any(char.isspace() or char < " " for char in name)
)
signatures = st.builds(
    Signature, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80)
)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n")).map(
    lambda text: text + "\n"
)
notes = st.builds(Note, texts, st.lists(signatures, min_size=1, max_size=5).map(tuple))


@given(notes)
def test_every_note_is_read_back(note: Note) -> None:
    assert parse(note.data, blame="server") == note


@given(st.binary(max_size=300))
def test_any_bytes_are_a_note_in_its_one_spelling_or_refused(data: bytes) -> None:
    try:
        note = parse(data, blame="server")
    except ProtocolError:
        return
    assert note.data == data


@given(
    st.integers(0, len(BOTH) - 1), st.integers(0, 255), st.sampled_from(["change", "insert", "cut", "end"])
)
def test_a_damaged_note_is_refused_or_lacks_the_damaged_signature(place: int, byte: int, how: str) -> None:
    damaged = {
        "change": BOTH[:place] + bytes([byte]) + BOTH[place + 1 :],
        "insert": BOTH[:place] + bytes([byte]) + BOTH[place:],
        "cut": BOTH[:place] + BOTH[place + 1 :],
        "end": BOTH[:place],
    }[how]
    known = [read_vkey(PETER), read_vkey(ENOCH)]
    try:
        note = parse(damaged, blame="server")
        held = holders(note, known, blame="server")
    except ProtocolError:
        return
    assert note.data == damaged
    assert len(held) == (2 if damaged == BOTH else 1) or held == ()
    assert (note.text == TEXT) or held == ()
