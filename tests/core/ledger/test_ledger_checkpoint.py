"""Checkpoints: what is signed, whose signatures are needed, and the time they vouch for."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import InputError, ProtocolError
from covey.ledger.checkpoint import (
    MAX_SIZE,
    Checkpoint,
    LogTrust,
    Witnessed,
    claimed,
    cosign,
    cosignatures_in,
    open_checkpoint,
    sign_checkpoint,
    with_cosignatures,
)
from covey.ledger.note import MAX_SIGNATURES, Cosigner, Ed25519Signer, Verifier, parse, read_vkey, signed

ROOT = hashlib.sha256(b"root").digest()
CHECKPOINT = Checkpoint("example.com/fleet", 7, ROOT)
LOG = Ed25519Signer("example.com/fleet", hashlib.sha256(b"log").digest())
SIGNED = sign_checkpoint(CHECKPOINT, LOG)
NOW = 1_700_000_000


def private(number: int) -> bytes:
    return hashlib.sha256(b"witness %d" % number).digest()


def witness(number: int) -> Verifier:
    return Cosigner(f"w{number}.example", private(number), 0).verifier


def cosignature(number: int, now: int = NOW, data: bytes = SIGNED) -> str:
    return cosign(data, f"w{number}.example", private(number), now)


def trust(witnesses: int = 3, cosignatures: int = 2) -> LogTrust:
    return LogTrust(CHECKPOINT.origin, LOG.verifier, tuple(map(witness, range(witnesses))), cosignatures)


def refusal(data: bytes, trust: LogTrust) -> str:
    with pytest.raises(ProtocolError) as caught:
        open_checkpoint(data, trust, blame="server")
    assert caught.value.blame == "server"
    return caught.value.message


def test_the_signed_text_is_three_lines() -> None:
    root = base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert Checkpoint("example.com/behind-the-sofa", 20852163, root).text == text


def test_the_published_checkpoint_is_read() -> None:
    """The example of c2sp.org/tlog-cosignature, whose keys are not published."""
    data = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        "— witness.example.com/w1 "
        "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    ).encode()
    assert claimed(data, blame="server").size == 20852163
    assert parse(data, blame="server").signatures[1].time == 1679315147
    assert parse(data, blame="server").data == data


def test_a_cosigned_checkpoint_opens() -> None:
    data = with_cosignatures(SIGNED, [cosignature(0), cosignature(2)])
    assert data.startswith(SIGNED)
    assert open_checkpoint(data, trust(), blame="server") == Witnessed(CHECKPOINT, data, NOW)


def test_without_witnesses_the_logs_signature_is_enough_and_no_time_is_known() -> None:
    assert open_checkpoint(SIGNED, trust(0, 0), blame="server") == Witnessed(CHECKPOINT, SIGNED, 0)
    cosigned = with_cosignatures(SIGNED, [cosignature(0)])
    assert open_checkpoint(cosigned, trust(1, 0), blame="server").time == 0


def test_the_time_is_one_that_as_many_witnesses_as_asked_for_vouch_for() -> None:
    data = with_cosignatures(SIGNED, [cosignature(0, 100), cosignature(1, 300), cosignature(2, 200)])
    times = [open_checkpoint(data, trust(3, asked), blame="server").time for asked in (1, 2, 3)]
    assert times == [300, 200, 100]


def test_a_witness_that_cosigned_twice_counts_once_with_its_newest_time() -> None:
    data = with_cosignatures(SIGNED, [cosignature(0, 100) + cosignature(0, 300), cosignature(0, 200)])
    assert open_checkpoint(data, trust(2, 1), blame="server").time == 300
    assert refusal(data, trust(2, 2)) == "1 of 2 cosignatures"


def test_too_few_cosignatures_are_refused() -> None:
    for lines in ([], [cosignature(0)], [cosignature(0), cosignature(7)]):
        assert "of 2 cosignatures" in refusal(with_cosignatures(SIGNED, lines), trust())


def test_a_cosignature_on_another_checkpoint_is_refused() -> None:
    other = sign_checkpoint(Checkpoint(CHECKPOINT.origin, 8, ROOT), LOG)
    data = with_cosignatures(SIGNED, [cosignature(0), cosignature(1, data=other)])
    assert "'w1.example' that does not hold" in refusal(data, trust())


def test_the_logs_signature_is_needed_whoever_cosigned() -> None:
    stranger = sign_checkpoint(CHECKPOINT, Ed25519Signer(LOG.name, private(9)))
    data = with_cosignatures(stranger, [cosignature(each) for each in range(3)])
    assert "did not sign" in refusal(data, trust())


def test_a_witness_cannot_sign_for_the_log_nor_the_log_for_a_witness() -> None:
    by_witness = sign_checkpoint(CHECKPOINT, Ed25519Signer("w0.example", private(0)))
    assert "did not sign" in refusal(by_witness, trust(1, 0))
    plain = signed(CHECKPOINT.text, LOG, Ed25519Signer("w0.example", private(0)))
    assert refusal(plain, trust(1, 1)) == "0 of 1 cosignatures"


def test_another_logs_checkpoint_is_refused() -> None:
    other = sign_checkpoint(Checkpoint("example.com/other", 7, ROOT), LOG)
    assert "'example.com/other', not of 'example.com/fleet'" in refusal(other, trust(0, 0))


@pytest.mark.parametrize(
    "text",
    [
        "example.com/fleet\n7\n",
        f"example.com/fleet\n7\n{base64.b64encode(ROOT).decode()}\nextension\n",
        f"\n7\n{base64.b64encode(ROOT).decode()}\n",
        f"example.com/fleet\n07\n{base64.b64encode(ROOT).decode()}\n",
        f"example.com/fleet\n-7\n{base64.b64encode(ROOT).decode()}\n",
        f"example.com/fleet\n+7\n{base64.b64encode(ROOT).decode()}\n",
        f"example.com/fleet\n 7\n{base64.b64encode(ROOT).decode()}\n",
        f"example.com/fleet\n\N{ARABIC-INDIC DIGIT SEVEN}\n{base64.b64encode(ROOT).decode()}\n",
        f"example.com/fleet\n7_0\n{base64.b64encode(ROOT).decode()}\n",
        f"example.com/fleet\n{1 << 63}\n{base64.b64encode(ROOT).decode()}\n",
        f"example.com/fleet\n{'9' * 5000}\n{base64.b64encode(ROOT).decode()}\n",
        f"example.com/fleet\n7\n{base64.b64encode(ROOT[:31]).decode()}\n",
        f"example.com/fleet\n7\n{base64.b64encode(ROOT).decode()[:-1]}\n",
        f"example.com/fleet\n7\n{base64.b64encode(ROOT).decode()[:-2]}B=\n",
        f"example.com/fleet\n7\n{ROOT.hex()}\n",
        "example.com/fleet\n7\n—\n",
    ],
)
def test_a_malformed_checkpoint_is_refused_although_it_is_signed(text: str) -> None:
    assert "malformed" in refusal(signed(text, LOG), trust(0, 0))
    with pytest.raises(ProtocolError, match="malformed"):
        cosign(signed(text, LOG), "w", private(0), NOW)


def test_the_largest_and_the_smallest_log_are_read() -> None:
    for size in (0, MAX_SIZE):
        data = sign_checkpoint(Checkpoint(CHECKPOINT.origin, size, ROOT), LOG)
        assert claimed(data, blame="server").size == size


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [("", 0, ROOT), ("a\nb", 0, ROOT), ("a", -1, ROOT), ("a", MAX_SIZE + 1, ROOT), ("a", 0, ROOT[1:])],
)
def test_what_no_checkpoint_can_say(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(ValueError, match=r"an origin|leaves|a root of"):
        Checkpoint(origin, size, root)


def test_one_key_is_not_two_witnesses() -> None:
    twin = Cosigner("another.name", private(0), 0).verifier
    with pytest.raises(InputError, match="one key stands for two"):
        LogTrust("a", LOG.verifier, (witness(0), twin), 2)
    with pytest.raises(InputError, match="one key stands for two"):
        LogTrust("a", LOG.verifier, (Cosigner("w", LOG.private, 0).verifier,), 1)


def test_keys_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(InputError, match="a witness's key as the log's"):
        LogTrust("a", witness(0), (), 0)
    with pytest.raises(InputError, match="not a witness's key"):
        LogTrust("a", LOG.verifier, (Ed25519Signer("w", private(0)).verifier,), 1)


@pytest.mark.parametrize("asked", [-1, 2])
def test_as_many_cosignatures_as_witnesses_can_be_asked_for(asked: int) -> None:
    with pytest.raises(InputError, match="cosignatures of 1 witnesses"):
        trust(1, asked)


def test_of_an_answer_only_the_cosignatures_of_known_witnesses_are_kept() -> None:
    forged = cosignature(1, data=sign_checkpoint(Checkpoint("x", 1, ROOT), LOG))
    answer = cosignature(7) + cosignature(0) + forged
    known = trust().witnesses
    assert cosignatures_in(answer, SIGNED, known) == (cosignature(0),)
    renamed = cosign(SIGNED, "another.example", private(0), NOW)  # which no reader would count
    assert cosignatures_in(renamed, SIGNED, known) == ()
    as_log = parse(SIGNED, blame="x").signatures[0].line
    assert cosignatures_in(as_log, SIGNED, known) == ()


@pytest.mark.parametrize(
    "answer", ["", "\n", "no line\n", cosignature(0)[:-1], cosignature(0) + "\n", "— w AAAAAA==\n"]
)
def test_an_answer_that_is_no_cosignature_blames_the_witness(answer: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        cosignatures_in(answer, SIGNED, trust().witnesses)
    assert caught.value.blame == "witness"
    with pytest.raises(ProtocolError):
        with_cosignatures(SIGNED, [answer])


def test_a_line_is_added_once_and_not_without_end() -> None:
    once = with_cosignatures(SIGNED, [cosignature(0)])
    assert with_cosignatures(once, [cosignature(0)]) == once
    with pytest.raises(ProtocolError, match="33 signatures"):
        with_cosignatures(SIGNED, [cosignature(each) for each in range(MAX_SIGNATURES)])


COSIGNED = with_cosignatures(SIGNED, [cosignature(0), cosignature(1)])


@given(
    st.integers(0, len(COSIGNED) - 1),
    st.integers(0, 255),
    st.sampled_from(["change", "insert", "cut", "end"]),
)
def test_a_damaged_checkpoint_never_says_something_else(place: int, byte: int, how: str) -> None:
    damaged = {
        "change": COSIGNED[:place] + bytes([byte]) + COSIGNED[place + 1 :],
        "insert": COSIGNED[:place] + bytes([byte]) + COSIGNED[place:],
        "cut": COSIGNED[:place] + COSIGNED[place + 1 :],
        "end": COSIGNED[:place],
    }[how]
    try:
        opened = open_checkpoint(damaged, trust(2, 2), blame="server")
    except ProtocolError:
        assert damaged != COSIGNED
        return
    assert opened == Witnessed(CHECKPOINT, COSIGNED, NOW)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert refusal(data, trust(0, 0))


def test_a_policy_gives_keys_as_words() -> None:
    words = [LOG.verifier.vkey, witness(0).vkey]
    log, cosigner = map(read_vkey, words)
    data = with_cosignatures(SIGNED, [cosignature(0)])
    assert open_checkpoint(data, LogTrust(CHECKPOINT.origin, log, (cosigner,), 1), blame="server").time == NOW
