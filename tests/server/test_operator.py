"""The operator's folder: what is read from it, and what is said of each file that is wrong."""

from pathlib import Path
from typing import Any

import pytest

import policy_texts
from covey.errors import CoveyError, InputError, ProtocolError
from covey.identity import Roster, public_of, sign_roster
from covey.ledger.note import Ed25519Signer, parse, signed
from covey.policy.signed import Reviewers
from covey_io.device_keys import reviewers_json
from covey_io.witness_client import HttpWitness, LocalWitness
from covey_io.witness_store import WitnessFolder
from covey_server.operator import newest, read_log, read_operator, read_witnesses
from covey_strategies.protection import Operator
from digits_fleet import ENROLMENT, OPERATOR, operator
from memory_ledger import LOG, REVIEWER, REVIEWERS, SECOND, opened
from policed_fleet import policy

NO_KEYS = ["", "xyz", "ab" * 31, "ab" * 33, "é" * 64]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "operator.key").write_text(OPERATOR.hex() + "\n")
    (tmp_path / "enrolment.pub").write_text(public_of(ENROLMENT).hex() + "\n")
    (tmp_path / "roster").write_bytes(operator([2, 3, 4], simulation=False).roster_sent)
    (tmp_path / "policy").write_bytes(policy())
    (tmp_path / "reviewers.json").write_bytes(reviewers_json(REVIEWERS))
    (tmp_path / "log.key").write_text(policy_texts.LOG.hex() + "\n")
    (tmp_path / "witnesses").write_text(f"{WITNESS} http://witness.example:8080\n")
    return tmp_path


WITNESS = policy_texts.vkey(policy_texts.WITNESS_NAME, policy_texts.WITNESS, 4)


def signed_by(*signers: Ed25519Signer) -> bytes:
    return signed(parse(policy(), blame="test").text, *signers)


def test_key_and_roster_are_read(folder: Path) -> None:
    found = read_operator(folder, policy=False)
    assert found.private == OPERATOR
    assert [each.device for each in found.roster.certificates] == ["device-002", "device-003", "device-004"]
    assert found.roster_sent == (folder / "roster").read_bytes()
    assert found.reference.serial == found.roster.serial == 1
    assert (found.policy, found.policy_sent, found.policy_reference) == (None, b"", None)


def test_the_private_keys_are_not_shown(folder: Path) -> None:
    found = read_operator(folder, policy=True)
    log = read_log(folder, opened(policy()))
    for shown in (repr(found), repr(log)):
        for key in (OPERATOR, policy_texts.LOG):
            assert key.hex() not in shown
            assert repr(key) not in shown


@pytest.mark.parametrize("name", ["operator.key", "enrolment.pub", "roster"])
def test_a_missing_file_is_said_with_what_to_do(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=r"holds no operator's key and roster") as caught:
        read_operator(folder, policy=False)
    assert "masks = false" in caught.value.hint


@pytest.mark.parametrize("content", NO_KEYS)
@pytest.mark.parametrize("name", ["operator.key", "enrolment.pub"])
def test_what_is_no_key_is_refused_without_showing_it(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content, "utf-8")
    with pytest.raises(CoveyError) as caught:
        read_operator(folder, policy=False)
    assert not content or content not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("content", [b"", b"\xc1", b"hello"])
def test_what_is_no_roster_is_refused(folder: Path, content: bytes) -> None:
    (folder / "roster").write_bytes(content)
    with pytest.raises(ProtocolError):
        read_operator(folder, policy=False)


def test_a_roster_that_another_key_signed_is_refused(folder: Path) -> None:
    (folder / "enrolment.pub").write_text(public_of(OPERATOR).hex())
    with pytest.raises(ProtocolError, match="signature"):
        read_operator(folder, policy=False)


def test_an_expired_roster_is_refused(folder: Path) -> None:
    (folder / "roster").write_bytes(sign_roster(Roster("lab", 1, 1_000_000, False, ()), ENROLMENT))
    with pytest.raises(ProtocolError, match="expired"):
        read_operator(folder, policy=False)


class TestPolicy:
    def test_it_is_read_as_the_reviewers_signed_it(self, folder: Path) -> None:
        found = read_operator(folder, policy=True)
        assert found.policy == opened(policy())
        assert found.policy_sent == (folder / "policy").read_bytes()
        assert found.policy_reference
        assert (found.policy_reference.sha256, found.policy_reference.serial) == (opened(policy()).sha256, 1)

    def test_without_one_it_is_said_how_to_get_one(self, folder: Path) -> None:
        (folder / "policy").unlink()
        with pytest.raises(InputError, match="policy: no signed policy") as caught:
            read_operator(folder, policy=True)
        assert "covey fleet policy" in caught.value.hint
        assert "covey policy sign" in caught.value.hint
        assert read_operator(folder, policy=False).policy is None

    def test_without_reviewers_none_is_believed(self, folder: Path) -> None:
        (folder / "reviewers.json").unlink()
        with pytest.raises(InputError, match=r"reviewers\.json is missing"):
            read_operator(folder, policy=True)

    @pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"threshold": 1, "keys": ["x"]}', b"[1]"])
    def test_what_is_no_list_of_reviewers_is_refused(self, folder: Path, content: bytes) -> None:
        (folder / "reviewers.json").write_bytes(content)
        with pytest.raises(InputError):
            read_operator(folder, policy=True)

    @pytest.mark.parametrize(
        ("note", "said"),
        [
            (b"", "malformed note"),
            (b"\xff\xfe", "policy: "),
            (policy_texts.policy_text().encode(), "malformed note"),
            (signed_by(SECOND), "signed by none of the reviewers"),
            (policy(signatures=2), "signed by 1 of the reviewers"),
            (policy(valid_from="~2020-01-01", valid_until="~2020-12-31"), "2020-12-31"),
            (policy(valid_from="~2120-01-01"), "2120-01-01"),
            (
                policy(keys__operator=public_of(ENROLMENT).hex(), keys__enrolment="11" * 32),
                "another operator",
            ),
            (policy(keys__enrolment=public_of(policy_texts.LOG).hex()), "another operator or enrolment key"),
            (policy(fleet="other"), "the roster is of fleet 'digits', the policy of 'other'"),
            (policy(simulation=True), "the roster is of real devices"),
        ],
    )
    def test_one_that_devices_would_refuse_is_named_before_anything_is_asked(
        self, folder: Path, note: bytes, said: str
    ) -> None:
        (folder / "policy").write_bytes(note)
        with pytest.raises(InputError) as caught:
            read_operator(folder, policy=True)
        assert str(folder / "policy") in caught.value.message
        assert said in caught.value.message
        assert caught.value.hint

    def test_one_that_was_changed_after_it_was_signed_is_named(self, folder: Path) -> None:
        (folder / "policy").write_bytes(policy().replace(b'epsilon = "100"', b'epsilon = "999"'))
        with pytest.raises(InputError, match="policy: ") as caught:
            read_operator(folder, policy=True)
        assert REVIEWER.verifier.name in caught.value.message

    def test_two_must_have_signed_where_the_operator_says_so(self, folder: Path) -> None:
        both = Reviewers((REVIEWER.verifier, SECOND.verifier), 2)
        (folder / "reviewers.json").write_bytes(reviewers_json(both))
        with pytest.raises(InputError, match="signed by 1 of the reviewers it needs 2"):
            read_operator(folder, policy=True)
        (folder / "policy").write_bytes(signed_by(REVIEWER, SECOND))
        assert read_operator(folder, policy=True).policy


class TestLog:
    def test_key_and_witnesses_are_those_of_the_policy(self, folder: Path) -> None:
        found = read_log(folder, opened(policy()))
        assert found.signer.verifier == LOG.verifier == found.trust.log
        assert found.trust == opened(policy()).policy.log_trust()
        assert found.witnesses == (HttpWitness("http://witness.example:8080"),)

    def test_a_missing_key_is_said(self, folder: Path) -> None:
        (folder / "log.key").unlink()
        with pytest.raises(InputError, match=r"log\.key: FileNotFoundError"):
            read_log(folder, opened(policy()))

    @pytest.mark.parametrize("content", NO_KEYS)
    def test_what_is_no_key_is_refused_without_showing_it(self, folder: Path, content: str) -> None:
        (folder / "log.key").write_text(content, "utf-8")
        with pytest.raises(InputError, match=r"log\.key") as caught:
            read_log(folder, opened(policy()))
        assert not content or content not in str(caught.value)

    def test_another_key_than_the_policys_is_refused(self, folder: Path) -> None:
        (folder / "log.key").write_text(OPERATOR.hex())
        with pytest.raises(InputError, match=r"log\.key is not the log's key of the policy"):
            read_log(folder, opened(policy()))

    def test_witnesses_come_in_the_policys_order_and_others_are_left_out(
        self, folder: Path, tmp_path: Path
    ) -> None:
        made = [WitnessFolder.make(tmp_path / f"w{number}", f"w{number}") for number in range(3)]
        keys = [each.key.verifier.vkey for each in made]
        lines = [f"{key} {tmp_path / f'w{number}'}" for number, key in enumerate(keys)]
        text = "\n".join(["# ours", lines[2], "", f"   {lines[1]}  ", lines[0]])
        (folder / "witnesses").write_text(text)
        note = policy(ledger__witnesses=keys[:2], ledger__cosignatures=2)
        found = read_log(folder, opened(note))
        assert found.witnesses == (LocalWitness(tmp_path / "w0"), LocalWitness(tmp_path / "w1"))

    def test_too_few_addresses_are_said_at_once(self, folder: Path, tmp_path: Path) -> None:
        second = WitnessFolder.make(tmp_path / "w2", "w2").key.verifier.vkey
        note = policy(ledger__witnesses=[WITNESS, second], ledger__cosignatures=2)
        with pytest.raises(InputError, match="addresses of 1 of its witnesses, 2 must cosign"):
            read_log(folder, opened(note))
        assert len(read_log(folder, opened(policy(ledger__witnesses=[WITNESS, second]))).witnesses) == 1

    def test_a_policy_without_witnesses_needs_no_addresses(self, folder: Path) -> None:
        (folder / "witnesses").unlink()
        found = read_log(folder, opened(policy(ledger__witnesses=[], ledger__cosignatures=0)))
        assert found.witnesses == ()
        with pytest.raises(InputError, match="witnesses: FileNotFoundError"):
            read_log(folder, opened(policy()))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (WITNESS, "a line without an address"),
            (f"{WITNESS} ", "a line without an address"),
            (f"{WITNESS} http://", "is no witness's address"),
            (f"{WITNESS} https://user:word@host", "is no witness's address"),
            ("hello http://host", "that is no public key"),
            (f"{WITNESS[:-6]}AAAAA= http://host", "key"),
        ],
    )
    def test_a_line_that_is_none_is_said(self, folder: Path, text: str, said: str) -> None:
        (folder / "witnesses").write_text(text)
        with pytest.raises(InputError, match=said):
            read_witnesses(folder / "witnesses")

    def test_what_is_no_text_is_said(self, folder: Path) -> None:
        (folder / "witnesses").write_bytes(b"\xff\xfe")
        with pytest.raises(InputError, match="witnesses: UnicodeDecodeError"):
            read_witnesses(folder / "witnesses")


class TestNewest:
    """A roster that the fleet's owner signed while a run goes on."""

    def write(self, folder: Path, serial: int, **changes: Any) -> None:
        (folder / "roster").write_bytes(
            operator([2, 4], serial=serial, **{"simulation": False, **changes}).roster_sent
        )

    def asked(self, folder: Path, before: Operator) -> tuple[Operator, list[str]]:
        said: list[str] = []
        return newest(folder, before, said.append), said

    def test_a_newer_one_is_taken_up(self, folder: Path) -> None:
        before = read_operator(folder, policy=True)
        assert self.asked(folder, before) == (before, [])
        self.write(folder, 2)
        found, said = self.asked(folder, before)
        assert said == []
        assert found.reference.serial == 2
        assert found.roster_sent == (folder / "roster").read_bytes()
        assert (found.private, found.policy) == (before.private, before.policy)

    @pytest.mark.parametrize("data", [b"", b"half a roster", None])
    def test_one_that_is_half_copied_changes_nothing_and_is_said(
        self, folder: Path, data: bytes | None
    ) -> None:
        before = read_operator(folder, policy=True)
        (folder / "roster").write_bytes(data or b"")
        if data is None:
            (folder / "roster").unlink()
        found, said = self.asked(folder, before)
        assert found is before
        assert said[0].startswith("roster 1 stays: ")

    def test_neither_an_older_one_nor_anothers_is(self, folder: Path) -> None:
        self.write(folder, 5)
        before = read_operator(folder, policy=True)
        self.write(folder, 4)
        assert "serial 4 after 6 was seen" in self.asked(folder, before)[1][0]
        self.write(folder, 5)  # other devices under a serial that was used
        (folder / "roster").write_bytes(operator([2], serial=5, simulation=False).roster_sent)
        assert self.asked(folder, before)[0] is before
        forged = sign_roster(Roster("digits", 6, 1 << 40, False, ()), OPERATOR)
        (folder / "roster").write_bytes(forged)
        assert "does not hold" in self.asked(folder, before)[1][0]
        self.write(folder, 6, simulation=True)
        assert "simulated" in self.asked(folder, before)[1][0]
