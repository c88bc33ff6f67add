"""The owner's book and the roster that follows: admitted once, revoked for ever, no serial signed twice."""

import json
import time
from pathlib import Path

import pytest
from cryptography import x509

from covey.enrolment import check_answers, read_admission
from covey.errors import InputError, StateError
from covey_io import durable
from covey_server.fleet_keys import make_fleet
from covey_server.fleet_owner import DAY, OwnedFleet
from covey_server.operator import read_operator
from made_fleet import device, keys_of, made, roster_of


@pytest.fixture
def fleet(tmp_path: Path) -> OwnedFleet:
    return made(tmp_path / "fleet")


def present(fleet: OwnedFleet) -> list[str]:
    return [each.device for each in roster_of(fleet).certificates]


class TestAdmit:
    def test_a_fleet_begins_empty_and_the_server_reads_it(self, fleet: OwnedFleet) -> None:
        assert (roster_of(fleet).serial, present(fleet)) == (1, [])
        assert read_operator(fleet.operator, policy=False).roster.fleet == "lab"

    def test_who_is_admitted_is_in_the_roster_and_gets_an_answer(
        self, fleet: OwnedFleet, tmp_path: Path, now: int
    ) -> None:
        asked = [device(tmp_path, name) for name in ("pi-2", "pi-1")]
        answers = fleet.admit(keys_of(fleet), asked, now)
        roster = roster_of(fleet)
        assert (roster.serial, present(fleet)) == (2, ["pi-1", "pi-2"])
        assert roster.key_of("pi-2", now) == asked[0].identity
        assert abs(roster.expires - now - 30 * DAY) <= 5
        for each, answer in zip(asked, answers, strict=True):
            check_answers(read_admission(answer, fleet.enrolment_key()), each)
            assert (fleet.operator / "admitted" / f"{each.digest}.json").read_bytes() == answer
            line = (fleet.operator / "nodes" / f"{each.request.device}.pub").read_text()
            assert line == f"{each.request.node} {each.request.device}\n"

    def test_twice_is_once(self, fleet: OwnedFleet, tmp_path: Path, now: int) -> None:
        asked = device(tmp_path, "pi-1")
        fleet.admit(keys_of(fleet), [asked], now)
        (again,) = fleet.admit(keys_of(fleet), [asked], now + 9)
        check_answers(read_admission(again), asked)
        assert roster_of(fleet).serial == 2

    def test_a_name_or_key_is_given_once(self, fleet: OwnedFleet, tmp_path: Path, now: int) -> None:
        fleet.admit(keys_of(fleet), [device(tmp_path, "pi-1")], now)
        with pytest.raises(InputError, match="a name is never given twice"):
            fleet.admit(keys_of(fleet), [device(tmp_path / "other", "pi-1")], now)
        for name in ("identity.key", "node.key", "tls.key"):
            copy = tmp_path / f"clone-{name}"
            copy.mkdir()
            (copy / name).write_bytes((tmp_path / "pi-1" / name).read_bytes())
            clone = device(tmp_path, copy.name)
            with pytest.raises(InputError, match=r"key of 'clone-.*' was admitted with 'pi-1'"):
                fleet.admit(keys_of(fleet), [device(tmp_path, "pi-2"), clone], now)
        assert (roster_of(fleet).serial, present(fleet)) == (2, ["pi-1"])

    def test_certificates_are_of_the_fleets_authority(
        self, fleet: OwnedFleet, tmp_path: Path, now: int
    ) -> None:
        (answer,) = fleet.admit(keys_of(fleet), [device(tmp_path, "pi-1")], now)
        certificate = x509.load_der_x509_certificate(read_admission(answer).admission.certificate)
        ca = x509.load_pem_x509_certificate((fleet.operator / "ca.crt").read_bytes())
        certificate.verify_directly_issued_by(ca)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert certificate.not_valid_after_utc == ca.not_valid_after_utc


class TestRevoke:
    def test_who_is_revoked_is_gone_for_ever(self, fleet: OwnedFleet, tmp_path: Path, now: int) -> None:
        asked = [device(tmp_path, name) for name in ("pi-1", "pi-2")]
        fleet.admit(keys_of(fleet), asked, now)
        fleet.revoke(keys_of(fleet), ["pi-1"], now)
        assert (roster_of(fleet).serial, present(fleet)) == (3, ["pi-2"])
        assert [path.name for path in (fleet.operator / "nodes").iterdir()] == ["pi-2.pub"]
        with pytest.raises(InputError, match="was revoked"):
            fleet.admit(keys_of(fleet), [asked[0]], now)
        assert fleet.revoke(keys_of(fleet), ["pi-1"], now + 1).serial == 3  # again changes nothing
        with pytest.raises(InputError, match="no device 'pi-3'"):
            fleet.revoke(keys_of(fleet), ["pi-2", "pi-3"], now)
        assert (roster_of(fleet).serial, present(fleet)) == (3, ["pi-2"])


class TestRenew:
    def test_a_nodes_key_that_is_not_the_devices_is_put_right(
        self, fleet: OwnedFleet, tmp_path: Path, now: int
    ) -> None:
        fleet.admit(keys_of(fleet), [device(tmp_path, "pi-1")], now)
        path = fleet.operator / "nodes/pi-1.pub"
        right = path.read_bytes()
        path.write_text("ecdsa-sha2-nistp384 another pi-1\n")
        fleet.renew(keys_of(fleet), now, 60)
        assert path.read_bytes() == right

    def test_the_roster_and_the_servers_certificate_hold_longer(self, fleet: OwnedFleet, now: int) -> None:
        key = server_certificate(fleet).public_key()
        fleet.renew(keys_of(fleet), now, 60)
        assert (roster_of(fleet).serial, roster_of(fleet).expires) == (2, now + 60 * DAY)
        assert int(server_certificate(fleet).not_valid_after_utc.timestamp()) == now + 60 * DAY
        assert server_certificate(fleet).public_key() == key

    def test_a_roster_can_be_made_to_hold_shorter(self, fleet: OwnedFleet, now: int) -> None:
        fleet.renew(keys_of(fleet), now, 1)
        assert roster_of(fleet).expires == now + DAY

    def test_hosts_and_server_may_change(self, fleet: OwnedFleet, tmp_path: Path, now: int) -> None:
        told = fleet.tell("https://new.example", ["new.example", "10.0.0.1"])
        told.renew(keys_of(told), now, 30)
        names = (
            server_certificate(fleet).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        )
        assert [str(each.value) for each in names] == ["new.example", "10.0.0.1"]
        (answer,) = OwnedFleet.open(fleet.folder).admit(keys_of(fleet), [device(tmp_path, "pi-1")], now)
        assert read_admission(answer).admission.server == "https://new.example"


class TestNotes:
    def test_names_to_show_and_labels_are_notes_only(
        self, fleet: OwnedFleet, tmp_path: Path, now: int
    ) -> None:
        fleet.admit(keys_of(fleet), [device(tmp_path, "pi-1")], now)
        before = (fleet.operator / "roster").read_bytes()
        fleet.note(lambda members: members.called("pi-1", "the big pump"))
        found = fleet.note(lambda members: members.labelled("pi-1", {"site": "hall", "a": "b"})).find("pi-1")
        assert (found.device, found.shown, found.labels) == (
            "pi-1",
            "the big pump",
            {"a": "b", "site": "hall"},
        )
        found = fleet.note(lambda members: members.labelled("pi-1", {"a": None, "z": None})).find("pi-1")
        assert found.labels == {"site": "hall"}
        assert fleet.note(lambda members: members.called("pi-1", "")).find("pi-1").shown is None
        assert (fleet.operator / "roster").read_bytes() == before

    @pytest.mark.parametrize("text", ["x" * 65, "a\nb", "a\x1b[2J"])
    def test_what_cannot_be_shown_is_refused(
        self, fleet: OwnedFleet, tmp_path: Path, now: int, text: str
    ) -> None:
        fleet.admit(keys_of(fleet), [device(tmp_path, "pi-1")], now)
        for change in ({"site": text}, {text: "site"}):
            with pytest.raises(InputError, match="cannot be written down"):
                fleet.note(lambda members, change=change: members.labelled("pi-1", change))  # type: ignore[misc]
        with pytest.raises(InputError, match="cannot be written down"):
            fleet.note(lambda members: members.called("pi-1", text))
        with pytest.raises(InputError, match="labels"):
            fleet.note(lambda members: members.labelled("pi-1", {f"k{n}": "v" for n in range(33)}))


@pytest.mark.parametrize("writes", range(4))
def test_after_a_crash_no_serial_stands_for_two_rosters(
    fleet: OwnedFleet, tmp_path: Path, now: int, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = device(tmp_path, "pi-1")
    keys = keys_of(fleet)
    rosters = {1: (fleet.operator / "roster").read_bytes()}
    left, real = [writes], durable.replace

    def replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(path, data, mode=mode)

    monkeypatch.setattr(durable, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        fleet.admit(keys, [asked], now)
    monkeypatch.undo()
    for again in (asked, device(tmp_path, "pi-2")):
        sent = (fleet.operator / "roster").read_bytes()
        assert rosters.setdefault(roster_of(fleet).serial, sent) == sent
        (answer,) = fleet.admit(keys, [again], now + 1)
        check_answers(read_admission(answer), again)
    sent = (fleet.operator / "roster").read_bytes()
    assert rosters.setdefault(roster_of(fleet).serial, sent) == sent
    assert present(fleet) == ["pi-1", "pi-2"]


def test_a_revocation_that_a_crash_cut_short_is_finished_by_the_next(
    fleet: OwnedFleet, tmp_path: Path, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.admit(keys_of(fleet), [device(tmp_path, "pi-1")], now)
    real = durable.replace

    def replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        if path.name == "roster":
            raise KeyboardInterrupt
        real(path, data, mode=mode)

    monkeypatch.setattr(durable, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        fleet.revoke(keys_of(fleet), ["pi-1"], now)
    monkeypatch.undo()
    assert present(fleet) == ["pi-1"]
    fleet.revoke(keys_of(fleet), ["pi-1"], now)
    assert (roster_of(fleet).serial, present(fleet)) == (3, [])


class TestDamage:
    def test_a_folder_that_is_none_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"fleet\.json") as caught:
            OwnedFleet.open(tmp_path)
        assert "covey fleet init" in caught.value.hint

    @pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff"])
    def test_damaged_books_are_said(self, fleet: OwnedFleet, data: bytes) -> None:
        for name in ("members.json", "fleet.json"):
            (fleet.folder / "enrolment" / name).write_bytes(data)
        with pytest.raises(StateError, match="damaged"):
            OwnedFleet.open(fleet.folder)
        with pytest.raises(StateError, match="damaged"):
            fleet.members()

    def test_a_missing_key_is_named(self, fleet: OwnedFleet) -> None:
        (fleet.folder / "enrolment/ca.key").unlink()
        with pytest.raises(InputError, match=r"ca\.key"):
            keys_of(fleet)


def test_devices_made_here_are_members_like_any_other(tmp_path: Path) -> None:
    make_fleet(tmp_path / "fleet", "lab", ["pi-2", "pi-1"], 30)
    fleet = OwnedFleet.open(tmp_path / "fleet")
    assert (roster_of(fleet).serial, present(fleet)) == (1, ["pi-1", "pi-2"])
    said = json.loads((tmp_path / "fleet/devices/pi-1/device.json").read_bytes())
    assert said == {"device": "pi-1"}
    (tls,) = {(fleet.operator / "ca.crt").read_bytes(), (tmp_path / "fleet/devices/pi-1/ca.crt").read_bytes()}
    assert b"BEGIN CERTIFICATE" in tls


@pytest.fixture
def now() -> int:
    return int(time.time())


def server_certificate(fleet: OwnedFleet) -> x509.Certificate:
    return x509.load_pem_x509_certificate((fleet.operator / "tls.crt").read_bytes())
