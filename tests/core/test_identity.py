import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from covey import identity
from covey.errors import InputError, ProtocolError
from covey.identity import MAX_ROSTER_BYTES, Certificate, Roster, read_roster, sign_roster

ENROLMENT = bytes(range(32))
ENROLMENT_PUBLIC = identity.public_of(ENROLMENT)
NOW = 1_700_000_000
YEAR = 31_536_000


def key(number: int) -> bytes:
    return identity.public_of(number.to_bytes(32))


def certificate(device: str, number: int, not_after: int = NOW + YEAR) -> Certificate:
    return Certificate(device, key(number), not_after)


ALICE, BOB, CAROL = certificate("alice", 1), certificate("bob", 2), certificate("carol", 3)
ROSTER = Roster("wrists", 7, NOW + YEAR, simulation=False, certificates=(ALICE, BOB, CAROL))
SENT = sign_roster(ROSTER, ENROLMENT)


def read(data: bytes, *, now: int = NOW, least_serial: int = 0) -> Roster:
    return read_roster(data, ENROLMENT_PUBLIC, now=now, least_serial=least_serial)


def signed(body: bytes, private: bytes = ENROLMENT) -> bytes:
    """Any bytes as the body of a signed roster."""
    return msgspec.msgpack.encode([body, identity.sign(private, "roster", body)])


def signed_rows(*rows: object) -> bytes:
    return signed(msgspec.msgpack.encode(["wrists", 7, NOW + YEAR, False, rows]))


# RFC 8032, section 7.1, tests 1 to 3: private key, public key.
KEYS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
]


@pytest.mark.parametrize(("private", "public"), KEYS)
def test_published_keys(private: str, public: str) -> None:
    assert identity.public_of(bytes.fromhex(private)).hex() == public


def test_what_is_signed_has_version_and_kind_in_front() -> None:
    message = b"covey/v1/cc\0sets"
    from_primitive = Ed25519PrivateKey.from_private_bytes(ENROLMENT).sign(message)
    assert identity.sign(ENROLMENT, "cc", b"sets") == from_primitive


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=9), st.binary(max_size=99))
def test_a_signature_holds_for_what_was_signed(kind: str, data: bytes) -> None:
    signature = identity.sign(ENROLMENT, kind, data)
    identity.verify(ENROLMENT_PUBLIC, kind, data, signature, blame="alice")


@pytest.mark.parametrize(
    ("public", "kind", "data"),
    [
        (key(1), "mi", b"data"),
        (ENROLMENT_PUBLIC, "cc", b"data"),
        (ENROLMENT_PUBLIC, "mi", b"date"),
        (ENROLMENT_PUBLIC, "mi\0d", b"ata"),
        (ENROLMENT_PUBLIC[:31], "mi", b"data"),
        (ENROLMENT_PUBLIC + b"\0", "mi", b"data"),
        (b"", "mi", b"data"),
    ],
)
def test_a_signature_holds_for_nothing_else(public: bytes, kind: str, data: bytes) -> None:
    signature = identity.sign(ENROLMENT, "mi", b"data")
    with pytest.raises(ProtocolError, match="does not hold") as caught:
        identity.verify(public, kind, data, signature, blame="alice")
    assert caught.value.blame == "alice"


@given(st.integers(0, 511))
def test_a_signature_with_one_bit_changed_does_not_hold(bit: int) -> None:
    signature = int.from_bytes(identity.sign(ENROLMENT, "mi", b"data"))
    with pytest.raises(ProtocolError):
        identity.verify(ENROLMENT_PUBLIC, "mi", b"data", (signature ^ 1 << bit).to_bytes(64), blame="x")


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_of_another_length_does_not_hold(size: int) -> None:
    signature = identity.sign(ENROLMENT, "mi", b"data").ljust(65, b"\0")[:size]
    with pytest.raises(ProtocolError):
        identity.verify(ENROLMENT_PUBLIC, "mi", b"data", signature, blame="x")


def test_a_kind_cannot_run_into_the_data() -> None:
    with pytest.raises(ValueError, match="zero byte"):
        identity.sign(ENROLMENT, "mi\0", b"data")


def small_orders() -> list[bytes]:
    """Both signs of every y for which eight times the point is the neutral element, and of y + p."""
    p = (1 << 255) - 19
    d = -121665 * pow(121666, -1, p) % p
    order_8 = int.from_bytes(
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
    )
    # The double of (x, y) has y = 0, and so order 4, where x^2 = -y^2; with the curve: d·y^4 + 2·y^2 = 1.
    assert (d * order_8**4 + 2 * order_8**2 - 1) % p == 0
    ys = [0, 1, p - 1, order_8, p - order_8, p, p + 1]
    return [(y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1)]


@pytest.mark.parametrize("public", small_orders(), ids=bytes.hex)
def test_keys_under_which_one_signature_holds_for_every_message_are_refused(public: bytes) -> None:
    forged = (1).to_bytes(32, "little") + bytes(32)  # R the neutral element, s = 0
    with pytest.raises(ProtocolError):
        identity.verify(public, "mi", b"anything", forged, blame="x")
    with pytest.raises(ProtocolError, match="small order"):
        read(signed_rows(["alice", public, NOW + YEAR]))


def test_a_roster_is_read_as_it_was_signed() -> None:
    assert read(SENT) == ROSTER
    assert sign_roster(ROSTER, ENROLMENT) == SENT


def test_an_empty_roster_certifies_nobody() -> None:
    empty = msgspec.structs.replace(ROSTER, certificates=())
    with pytest.raises(ProtocolError, match="'alice' is not in roster 7"):
        read(sign_roster(empty, ENROLMENT)).key_of("alice", NOW)


@pytest.mark.parametrize(("device", "number"), [("alice", 1), ("bob", 2), ("carol", 3)])
def test_a_certified_device_has_its_key(device: str, number: int) -> None:
    assert ROSTER.key_of(device, NOW) == key(number)
    assert ROSTER.key_of(device, NOW + YEAR) == key(number)


@pytest.mark.parametrize("device", ["", "aaron", "alice ", "bo", "bobby", "zoe"])
def test_an_unknown_or_revoked_device_has_none(device: str) -> None:
    with pytest.raises(ProtocolError, match="is not in roster 7") as caught:
        ROSTER.key_of(device, NOW, blame="zoe")
    assert caught.value.blame == "zoe"


def test_an_expired_certificate_gives_no_key() -> None:
    with pytest.raises(ProtocolError, match="certificate of 'bob' has expired") as caught:
        ROSTER.key_of("bob", NOW + YEAR + 1)
    assert caught.value.blame == "server"


@pytest.mark.parametrize(
    ("now", "least_serial", "fault"),
    [(NOW + YEAR + 1, 0, "serial 7 has expired"), (NOW, 8, "serial 7 after 8 was seen")],
)
def test_an_old_roster_is_refused(now: int, least_serial: int, fault: str) -> None:
    with pytest.raises(ProtocolError, match=fault) as caught:
        read(SENT, now=now, least_serial=least_serial)
    assert caught.value.blame == "server"


def test_a_roster_holds_to_its_last_second_and_can_be_read_again() -> None:
    assert read(SENT, now=NOW + YEAR, least_serial=7) == ROSTER


def test_a_roster_of_another_enrolment_key_is_refused() -> None:
    with pytest.raises(ProtocolError, match="does not hold"):
        read(sign_roster(ROSTER, bytes(32)))


def test_a_signature_on_another_kind_does_not_make_a_roster() -> None:
    body = msgspec.msgpack.encode(ROSTER)
    with pytest.raises(ProtocolError, match="does not hold"):
        read(msgspec.msgpack.encode([body, identity.sign(ENROLMENT, "policy", body)]))


def row(device: object = "alice", number: int = 1, not_after: object = NOW) -> list[object]:
    return [device, key(number), not_after]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([row("bob", 1), row("alice", 2)], "not sorted, or twice"),
        ([row("bob", 1), row("bob", 2)], "not sorted, or twice"),
        ([row("alice", 1), row("bob", 1)], "one key for two devices"),
        ([row("")], "malformed"),
        ([row("a" * 65)], "malformed"),
        ([row(7)], "malformed"),
        ([row(not_after=-1)], "malformed"),
        ([row(not_after=1.5)], "malformed"),
        ([["alice", bytes(31), NOW]], "malformed"),
        ([["alice", key(1)]], "malformed"),
        ([[*row(), 0]], "malformed"),
        ([{"device": "alice", "key": key(1), "not_after": NOW}], "malformed"),
    ],
)
def test_a_signed_roster_with_bad_entries_is_refused(rows: list[object], fault: str) -> None:
    with pytest.raises(ProtocolError, match=fault):
        read(signed_rows(*rows))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(ROSTER) + b"\0",
        msgspec.msgpack.encode(ROSTER).replace(b"\x07", b"\xcc\x07", 1),  # 7 spelled in two bytes
        b"\x91" * 100_000,
        msgspec.msgpack.encode(ROSTER).replace(b"alice", b"al\xffce"),
    ],
    ids=["empty", "no msgpack", "trailing", "second spelling", "nested", "not UTF-8"],
)
def test_a_signed_body_that_is_no_roster_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        read(signed(body))


@given(st.integers(0, 8 * len(SENT) - 1))
def test_a_roster_with_one_bit_changed_is_refused(bit: int) -> None:
    changed = (int.from_bytes(SENT) ^ 1 << bit).to_bytes(len(SENT))
    with pytest.raises(ProtocolError):
        read(changed)


@given(st.integers(0, len(SENT) - 1))
def test_a_roster_cut_short_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        read(SENT[:size])


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(data)


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        read(SENT + b"\0")


def test_too_large_a_roster_is_refused_unread() -> None:
    with pytest.raises(ProtocolError, match="at most 4194304"):
        read(bytes(MAX_ROSTER_BYTES + 1))


@pytest.mark.parametrize("certificates", [(BOB, ALICE), (ALICE, ALICE), (Certificate("", key(1), NOW),)])
def test_what_no_device_would_accept_is_not_signed(certificates: tuple[Certificate, ...]) -> None:
    with pytest.raises(InputError, match="a roster that cannot be used"):
        sign_roster(msgspec.structs.replace(ROSTER, certificates=certificates), ENROLMENT)


def test_what_a_roster_says_can_be_read_without_believing_it() -> None:
    """By whoever wrote it down; a reader who must believe it has another function."""
    assert identity.claimed_roster(SENT) == ROSTER
    body, _ = msgspec.msgpack.decode(SENT)
    assert identity.claimed_roster(msgspec.msgpack.encode([body, bytes(64)])) == ROSTER
    for data in (b"", SENT[:-1], SENT + b"\0", msgspec.msgpack.encode([b"no roster", bytes(64)])):
        with pytest.raises(ProtocolError):
            identity.claimed_roster(data)


@pytest.mark.parametrize(("private", "public"), KEYS)
def test_a_private_key_in_pem_is_the_same_key(private: str, public: str) -> None:
    pem = identity.private_pem(bytes.fromhex(private))
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    loaded = load_pem_private_key(pem, password=None)
    assert isinstance(loaded, Ed25519PrivateKey)
    assert loaded.private_bytes_raw().hex() == private
    assert loaded.public_key().public_bytes_raw().hex() == public


@pytest.mark.parametrize("size", [0, 31, 33])
def test_what_is_no_private_key_is_not_written_as_one(size: int) -> None:
    with pytest.raises(ValueError, match="32"):
        identity.private_pem(bytes(size))
