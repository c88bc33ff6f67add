"""Requests and admissions: what holds comes back, and nothing else does."""

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as some

from covey.enrolment import (
    MAX_ADMISSION_BYTES,
    MAX_REQUEST_BYTES,
    check_answers,
    check_name,
    fingerprint,
    read_admission,
    read_request,
    same_fingerprint,
    sign_admission,
    sign_request,
)
from covey.errors import InputError, ProtocolError
from covey.identity import public_of
from enrolment_papers import (
    ENROLMENT,
    NOW,
    OPERATOR,
    admission,
    admitted,
    asked,
    authority,
    csr,
    ec_key,
    identity,
    node,
    request,
    sealed,
    signed_request,
)
from memory_ledger import REVIEWER, SECOND

ASKED = asked()
DATA = ASKED.data
ANSWER = admitted(ASKED)


class TestRequest:
    def test_it_comes_back(self) -> None:
        assert ASKED.request == request(csr=ASKED.request.csr)
        assert ASKED.identity == public_of(identity("pi-07"))
        assert ASKED.fingerprint == fingerprint(ASKED.identity)
        public = ec_key("tls pi-07").public_key()
        assert ASKED.tls == public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert len(DATA) < MAX_REQUEST_BYTES // 4

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"device": "../../etc", "csr": ASKED.request.csr}, "malformed"),
            ({"device": "pi\n07", "csr": ASKED.request.csr}, "malformed"),
            ({"device": "pi-07\n", "csr": ASKED.request.csr}, "malformed"),
            ({"device": "", "csr": ASKED.request.csr}, "malformed"),
            ({"device": "x" * 65, "csr": ASKED.request.csr}, "malformed"),
            ({"device": "pi-08", "csr": ASKED.request.csr}, "for another name"),
            ({"csr": b"\x30\x00"}, "malformed"),
            ({"csr": b""}, "malformed"),
            ({"csr": b"\0" * 5000}, "malformed"),
            ({"csr": csr("pi-08")}, "for another name"),
            ({"csr": csr("pi-07", ec_key("other curve", SECP384R1))}, "not signed by a P-256 key"),
            ({"node": node("pi-07", SECP256R1)}, "malformed"),
            ({"node": "ecdsa-sha2-nistp384 AAAA"}, "no key"),
            ({"node": f"{node('pi-07')} root@evil"}, "malformed"),
            ({"node": f"{node('pi-07')}\nssh-rsa AAAA"}, "malformed"),
            ({"node": f"{node('pi-07')}="}, "malformed"),
        ],
    )
    def test_what_is_not_right_is_refused_though_it_is_signed(
        self, changes: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(ProtocolError, match=said) as caught:
            read_request(signed_request(request(**changes), identity("pi-07")))
        assert caught.value.blame == "device"
        with pytest.raises(InputError):
            sign_request(request(**changes), identity("pi-07"))

    def test_a_certificate_request_that_somebody_else_signed_is_refused(self) -> None:
        """Else the holder of one TLS key could have it certified under another device's name."""
        bent = bytearray(ASKED.request.csr)
        bent[-1] ^= 1
        with pytest.raises(ProtocolError, match="not signed by a P-256 key"):
            read_request(signed_request(request(csr=bytes(bent))))

    def test_a_key_of_small_order_signs_nothing(self) -> None:
        text = msgspec.json.decode(DATA)
        text["key"], text["signature"] = "01" + "00" * 31, "01" + "00" * 63
        with pytest.raises(ProtocolError, match="does not hold"):
            read_request(msgspec.json.encode(text) + b"\n")

    def test_an_rsa_key_is_refused(self) -> None:
        key = generate_private_key(65537, 2048)
        with pytest.raises(ProtocolError, match="not signed by a P-256 key"):
            read_request(signed_request(request(csr=csr("pi-07", key))))  # type: ignore[arg-type]

    def test_an_admission_is_no_request(self) -> None:
        for other in (ANSWER, sealed(request(), "admission", identity("pi-07"))):
            with pytest.raises(ProtocolError):
                read_request(other)

    @pytest.mark.parametrize(
        "bend",
        [
            lambda data: data[:-1],
            lambda data: data + b"\n",
            lambda data: b" " + data,
            lambda data: data.replace(b'{"signed"', b'{"signed":"","signed"'),
            lambda data: data.replace(b'","key"', b'","more":1,"key"'),
            lambda data: data[:-2] + b',"x":0}\n',
            lambda data: data + b" " * MAX_REQUEST_BYTES,
            lambda data: data.upper(),
            lambda _: b"[" * 100_000,
            lambda _: b"[" * 8000,
            lambda _: b"",
            lambda _: b"null\n",
            lambda _: b"\xff\xfe",
        ],
    )
    def test_a_content_has_one_spelling(self, bend: Any) -> None:
        with pytest.raises(ProtocolError):
            read_request(bend(DATA))

    @given(place=some.integers(0, len(DATA) - 1), byte=some.integers(0, 255))
    def test_no_byte_can_be_changed(self, place: int, byte: int) -> None:
        bent = DATA[:place] + bytes([byte]) + DATA[place + 1 :]
        if bent != DATA:
            with pytest.raises(ProtocolError):
                read_request(bent)

    @given(place=some.integers(0, len(ASKED.request.csr) - 1), byte=some.integers(0, 255))
    def test_a_bent_certificate_request_is_refused_and_nothing_worse(self, place: int, byte: int) -> None:
        whole = ASKED.request.csr
        bent = whole[:place] + bytes([byte]) + whole[place + 1 :]
        if bent != whole:
            with pytest.raises(ProtocolError):
                read_request(signed_request(request(csr=bent)))

    @given(some.binary(max_size=200))
    def test_rubbish_is_refused_and_nothing_worse(self, data: bytes) -> None:
        for kind in (data, sealed(b'{"format":"covey-request/1"}', "enrolment request", ENROLMENT)):
            with pytest.raises(ProtocolError):
                read_request(kind)
            with pytest.raises(ProtocolError):
                read_admission(kind)


class TestAdmission:
    def test_it_comes_back(self) -> None:
        found = read_admission(ANSWER, public_of(ENROLMENT))
        assert found.admission == admission(ASKED, certificate=found.admission.certificate)
        assert found.enrolment == public_of(ENROLMENT)
        assert found.reviewers.keys == (REVIEWER.verifier,)
        check_answers(found, ASKED)

    def test_another_fleets_is_refused(self) -> None:
        with pytest.raises(ProtocolError, match="another fleet's key"):
            read_admission(admitted(ASKED, OPERATOR), public_of(ENROLMENT))

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"ca": authority("another").der}, "not of its authority"),
            ({"certificate": authority("another").client("pi-07", ASKED.tls, NOW)}, "not of its authority"),
            ({"certificate": authority().client("pi-08", ASKED.tls, NOW)}, "for another name"),
            ({"certificate": b"\x30\x00"}, "not of its authority"),
            ({"reviewers": ()}, "malformed"),
            ({"reviewers": ("nobody",)}, "cannot be used"),
            ({"threshold": 2}, "2 signatures of 1 reviewers"),
            ({"reviewers": (REVIEWER.verifier.vkey,) * 2, "threshold": 2}, "one key stands for two"),
            ({"operator": "00"}, "malformed"),
            ({"server": "https://x y"}, "malformed"),
            ({"server": "https://x\n"}, "malformed"),
            ({"fleet": ""}, "malformed"),
        ],
    )
    def test_what_is_not_right_is_refused_though_it_is_signed(
        self, changes: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(ProtocolError, match=said) as caught:
            read_admission(sealed(admission(ASKED, **changes), "admission", ENROLMENT))
        assert caught.value.blame == "server"
        with pytest.raises(InputError):
            sign_admission(admission(ASKED, **changes), ENROLMENT)

    def test_one_of_another_device_answers_nothing(self) -> None:
        for other in (asked("pi-08"), asked("pi-09")):
            with pytest.raises(ProtocolError, match="answers another request"):
                check_answers(read_admission(ANSWER), other)

    def test_one_for_other_keys_answers_nothing(self) -> None:
        certificate = authority().client("pi-07", asked("pi-08").tls, NOW)
        with pytest.raises(ProtocolError, match="of another key"):
            check_answers(read_admission(admitted(ASKED, certificate=certificate)), ASKED)
        named = admitted(asked("pi-08"), request=ASKED.digest)
        with pytest.raises(ProtocolError, match="it is for pi-08"):
            check_answers(read_admission(named), ASKED)

    def test_a_request_is_no_admission(self) -> None:
        for other in (DATA, sealed(admission(ASKED), "enrolment request", ENROLMENT)):
            with pytest.raises(ProtocolError):
                read_admission(other)
        with pytest.raises(ProtocolError, match="at most"):
            read_admission(b" " * (MAX_ADMISSION_BYTES + 1))

    @given(place=some.integers(0, len(ANSWER) - 1), byte=some.integers(0, 255))
    def test_no_byte_can_be_changed(self, place: int, byte: int) -> None:
        bent = ANSWER[:place] + bytes([byte]) + ANSWER[place + 1 :]
        if bent != ANSWER:
            with pytest.raises(ProtocolError):
                read_admission(bent, public_of(ENROLMENT))

    def test_two_reviewers_are_two(self) -> None:
        both = (REVIEWER.verifier.vkey, SECOND.verifier.vkey)
        found = read_admission(admitted(ASKED, reviewers=both, threshold=2))
        assert (len(found.reviewers.keys), found.reviewers.threshold) == (2, 2)


def test_a_fingerprint_is_read_however_it_is_written() -> None:
    shown = fingerprint(b"key")
    assert len(shown) == 39
    assert same_fingerprint(shown, shown.upper().replace("-", " "))
    assert same_fingerprint(shown, shown.replace("-", ":"))
    assert not same_fingerprint(shown, fingerprint(b"another"))
    assert not same_fingerprint(shown, shown[:-1])
    assert not same_fingerprint(shown, "")


@pytest.mark.parametrize("name", ["pi-07", "a", "A.b_c-9", "x" * 64])
def test_what_a_device_can_be_called(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "-x", "a/b", "a b", "a\n", "ü", "x" * 65, "a\0", "\u202ea"])
def test_what_a_device_cannot_be_called(name: str) -> None:
    with pytest.raises(InputError) as caught:
        check_name(name)
    assert caught.value.hint
