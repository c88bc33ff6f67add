"""Where requests wait: one request for an invitation, and nothing for whoever has none."""

from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from covey.enrolment import read_admission
from covey.errors import InputError, StateError
from covey.invitation import Token
from covey_server import fleet_invitations
from covey_server.enrolment_desk import Answer, EnrolmentDesk
from covey_server.fleet_owner import OwnedFleet
from enrolment_papers import NOW
from made_fleet import HOUR, desk_of, device, keys_of, made, submission

ACCEPTED, FORBIDDEN, BAD = HTTPStatus.ACCEPTED, HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST


@pytest.fixture
def fleet(tmp_path: Path) -> OwnedFleet:
    return made(tmp_path / "fleet")


@pytest.fixture
def token(fleet: OwnedFleet) -> Token:
    return fleet_invitations.invite(fleet, "", NOW + HOUR)


def submit(fleet: OwnedFleet, token: Token, asked: object, now: int = NOW, **changes: str) -> Answer:
    data = msgspec.json.encode(submission(asked, token, **changes)) + b"\n"  # type: ignore[arg-type]
    return desk_of(fleet).submit(data, now)


def pending(fleet: OwnedFleet) -> list[str]:
    folder = fleet.operator / "pending"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_request_waits_until_the_owner_answers(fleet: OwnedFleet, token: Token, tmp_path: Path) -> None:
    asked = device(tmp_path, "pi-1")
    assert desk_of(fleet).answer(asked.digest).status == HTTPStatus.NOT_FOUND
    assert submit(fleet, token, asked).status == ACCEPTED
    assert desk_of(fleet).answer(asked.digest).status == ACCEPTED
    (waited,) = fleet_invitations.waiting(fleet)
    assert (waited.asked, waited.invitation) == (asked, token.invitation)
    fleet_invitations.admit(fleet, keys_of(fleet), [waited], NOW)
    found = desk_of(fleet).answer(asked.digest)
    assert found.status == HTTPStatus.OK
    assert read_admission(found.body, fleet.enrolment_key()).admission.device == "pi-1"
    assert pending(fleet) == []
    assert submit(fleet, token, asked).status == HTTPStatus.OK


def test_the_owner_may_refuse_and_think_again(fleet: OwnedFleet, token: Token, tmp_path: Path) -> None:
    asked = device(tmp_path, "pi-1")
    submit(fleet, token, asked)
    fleet_invitations.refuse(fleet, [asked])
    assert desk_of(fleet).answer(asked.digest).status == HTTPStatus.GONE
    assert submit(fleet, token, asked).status == HTTPStatus.GONE
    assert pending(fleet) == []
    fleet.admit(keys_of(fleet), [asked], NOW)
    assert desk_of(fleet).answer(asked.digest).status == HTTPStatus.OK


class TestInvitation:
    def test_it_lets_one_request_in(self, fleet: OwnedFleet, token: Token, tmp_path: Path) -> None:
        first, second = device(tmp_path, "pi-1"), device(tmp_path, "pi-2")
        assert submit(fleet, token, first).status == ACCEPTED
        assert submit(fleet, token, first).status == ACCEPTED  # a device that lost the answer
        refused = submit(fleet, token, second)
        assert (refused.status, b"was used" in refused.body) == (FORBIDDEN, True)
        assert pending(fleet) == [f"{first.digest}.json"]

    def test_also_after_it_was_answered(self, fleet: OwnedFleet, token: Token, tmp_path: Path) -> None:
        submit(fleet, token, device(tmp_path, "pi-1"))
        fleet_invitations.admit(fleet, keys_of(fleet), fleet_invitations.waiting(fleet), NOW)
        assert submit(fleet, token, device(tmp_path, "pi-2")).status == FORBIDDEN

    def test_of_many_at_once_one_is_let_in(self, fleet: OwnedFleet, token: Token, tmp_path: Path) -> None:
        many = [device(tmp_path, f"pi-{number}") for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda asked: submit(fleet, token, asked).status, many))
        assert sorted(found) == [ACCEPTED] + [FORBIDDEN] * 7
        assert len(pending(fleet)) == 1

    def test_it_expires(self, fleet: OwnedFleet, token: Token, tmp_path: Path) -> None:
        asked = device(tmp_path, "pi-1")
        refused = submit(fleet, token, asked, NOW + HOUR + 1)
        assert (refused.status, b"expired" in refused.body) == (FORBIDDEN, True)
        assert submit(fleet, token, asked, NOW + HOUR).status == ACCEPTED
        # whoever asked in time may go on asking
        assert submit(fleet, token, asked, NOW + 2 * HOUR).status == ACCEPTED

    def test_it_may_be_for_one_name(self, fleet: OwnedFleet, tmp_path: Path) -> None:
        named = fleet_invitations.invite(fleet, "pi-1", NOW + HOUR)
        refused = submit(fleet, named, device(tmp_path, "pi-2"))
        assert (refused.status, b"another name" in refused.body) == (FORBIDDEN, True)
        assert submit(fleet, named, device(tmp_path, "pi-1")).status == ACCEPTED

    def test_without_one_nothing_is_kept(self, fleet: OwnedFleet, token: Token, tmp_path: Path) -> None:
        stranger = Token(b"a secret of mine", token.pin)
        refused = submit(fleet, stranger, device(tmp_path, "pi-1"))
        assert (refused.status, pending(fleet)) == (FORBIDDEN, [])
        # what lies on the server opens nothing
        assert submit(fleet, token, device(tmp_path, "pi-1"), gate=token.invitation).status == FORBIDDEN

    def test_no_secret_is_on_the_server_or_said(
        self, fleet: OwnedFleet, token: Token, tmp_path: Path
    ) -> None:
        answer = submit(fleet, token, device(tmp_path, "pi-1"))
        secrets = [token.secret, token.gate, token.proof_key]
        kept = [path for path in fleet.operator.rglob("*") if path.is_file()]
        for secret in (*secrets, *(each.hex().encode() for each in secrets), token.text.encode()):
            assert not [path for path in kept if secret in path.read_bytes()]
            assert secret not in answer.body + answer.said.encode()

    def test_a_name_that_was_given_is_not_invited(self, fleet: OwnedFleet, tmp_path: Path) -> None:
        fleet.admit(keys_of(fleet), [device(tmp_path, "pi-1")], NOW)
        with pytest.raises(InputError, match="admitted before"):
            fleet_invitations.invite(fleet, "pi-1", NOW + HOUR)
        with pytest.raises(InputError, match="cannot name"):
            fleet_invitations.invite(fleet, "../x", NOW + HOUR)


class TestProof:
    """What the owner believes of a request that came through the server."""

    def test_a_server_cannot_prove_a_request_of_its_own(
        self, fleet: OwnedFleet, token: Token, tmp_path: Path
    ) -> None:
        honest, forged = device(tmp_path, "pi-1"), device(tmp_path / "evil", "pi-1")
        submit(fleet, token, honest)
        (path,) = (fleet.operator / "pending").iterdir()
        text = msgspec.json.decode(path.read_bytes())
        path.write_bytes(msgspec.json.encode(text | {"request": forged.data.decode()}) + b"\n")
        (waited,) = fleet_invitations.waiting(fleet)
        assert (waited.asked, waited.invitation) == (forged, None)

    def test_one_token_proves_one_request(self, fleet: OwnedFleet, token: Token, tmp_path: Path) -> None:
        """Whoever has a token, and a server that looks away, still get one device in."""
        many = [device(tmp_path, f"pi-{number}") for number in range(3)]
        for each in many:
            submit(fleet, token, each)
            (fleet.operator / "invitations" / f"{token.invitation}.used").unlink()
        assert [each.invitation for each in fleet_invitations.waiting(fleet)] == [None] * 3
        (fleet.operator / "pending" / f"{many[1].digest}.json").unlink()
        (fleet.operator / "pending" / f"{many[2].digest}.json").unlink()
        waited = fleet_invitations.waiting(fleet)
        assert waited[0].invitation == token.invitation
        fleet_invitations.admit(fleet, keys_of(fleet), waited, NOW)
        submit(fleet, token, many[1])
        assert [each.invitation for each in fleet_invitations.waiting(fleet)] == [None]

    def test_for_another_name_it_proves_nothing(self, fleet: OwnedFleet, tmp_path: Path) -> None:
        named = fleet_invitations.invite(fleet, "pi-1", NOW + HOUR)
        path = fleet.operator / "invitations" / f"{named.invitation}.json"
        path.write_bytes(path.read_bytes().replace(b"pi-1", b"pi-2"))
        assert submit(fleet, named, device(tmp_path, "pi-2")).status == ACCEPTED
        assert fleet_invitations.waiting(fleet)[0].invitation is None


class TestFlood:
    def test_so_many_wait_and_no_more(self, fleet: OwnedFleet, tmp_path: Path) -> None:
        desk = EnrolmentDesk(fleet.operator, most=2)
        tokens = [fleet_invitations.invite(fleet, "", NOW + HOUR) for _ in range(3)]
        for number, token in enumerate(tokens):
            data = msgspec.json.encode(submission(device(tmp_path, f"pi-{number}"), token)) + b"\n"
            answer = desk.submit(data, NOW)
        assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert len(pending(fleet)) == 2
        fleet_invitations.refuse(fleet, [fleet_invitations.waiting(fleet)[0].asked])
        assert desk.submit(data, NOW).status == ACCEPTED  # its invitation was not used up

    @given(data=some.binary(max_size=300))
    def test_rubbish_is_refused_and_nothing_worse(self, data: bytes) -> None:
        assert EnrolmentDesk(Path("/nowhere")).submit(data, NOW).status == BAD

    @pytest.mark.parametrize(
        "bend", [lambda text: text[:-1], lambda text: text + " ", lambda _: "", lambda _: "\ud800"]
    )
    def test_a_request_that_is_none_keeps_the_invitation(
        self, fleet: OwnedFleet, token: Token, tmp_path: Path, bend: object
    ) -> None:
        asked = device(tmp_path, "pi-1")
        bent = bend(asked.data.decode())  # type: ignore[operator]
        data = msgspec.json.encode(submission(asked, token)) + b"\n"
        text = msgspec.json.decode(data)
        if bent != "\ud800":
            data = msgspec.json.encode(text | {"request": bent}) + b"\n"
        else:
            data = data.replace(msgspec.json.encode(text["request"]), b'"\\ud800"')
        assert desk_of(fleet).submit(data, NOW).status == BAD
        assert pending(fleet) == []
        assert submit(fleet, token, asked).status == ACCEPTED


@pytest.mark.parametrize(
    "digest", ["", "..", "../roster", "ca", "0" * 63, "0" * 65, "G" * 64, "../" * 21 + "a", "é" * 64]
)
def test_what_is_no_hash_is_unknown(fleet: OwnedFleet, digest: str) -> None:
    assert desk_of(fleet).answer(digest).status == HTTPStatus.NOT_FOUND


def test_damage_is_said(fleet: OwnedFleet, token: Token, tmp_path: Path) -> None:
    (fleet.operator / "invitations" / f"{token.invitation}.json").write_bytes(b"{}")
    with pytest.raises(StateError, match="is damaged"):
        submit(fleet, token, device(tmp_path, "pi-1"))
    (fleet.operator / "ca.crt").write_bytes(b"")
    with pytest.raises(InputError, match=r"ca\.crt"):
        desk_of(fleet).anchors()
    (fleet.operator / "pending").mkdir()
    (fleet.operator / "pending/x.json").write_bytes(b"{}")
    with pytest.raises(InputError, match=r"x\.json"):
        fleet_invitations.waiting(fleet)
