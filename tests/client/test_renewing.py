"""A device's newest admission: fetched by a process of its own, from the real endpoint over TLS."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
from cryptography import x509

from agents import device_toml, short_folder
from covey.enrolment import Asked, read_admission
from covey.errors import CoveyError, ProtocolError, StateError
from covey_client import enrolling, renewal
from covey_client import running as agents
from covey_client.enrolling import Patience
from covey_client.renewal import DAY, FAILED, FIRST_FAILURE, LONGEST, NOTHING_NEWER, RENEWED, Renewal
from covey_client.renewing import renew
from covey_io.device_enrolment import accept, own_admission
from covey_io.lock import held
from covey_server.fleet_owner import OwnedFleet
from enrolment_endpoint import running
from made_fleet import device, keys_of, made

NOW = int(time.time())
LATER = NOW + 3600
"""When what is newer is signed: certificates hold from a day before."""


@dataclass(frozen=True)
class Place:
    """A device that is enrolled, and the fleet whose endpoint it knows."""

    folder: Path
    fleet: OwnedFleet
    asked: Asked

    @property
    def keys(self) -> Path:
        return self.folder / "state"

    @property
    def shown(self) -> Path:
        """What the endpoint hands out."""
        return self.fleet.operator / "admitted" / f"{self.asked.digest}.json"

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.keys / "tls.crt").read_bytes())

    def renew(self, now: int = LATER) -> None:
        self.fleet.renew(keys_of(self.fleet), now, 30)


@pytest.fixture
def place() -> Iterator[Place]:
    with short_folder() as folder:
        fleet, asked = made(folder / "fleet"), device(folder, "state")
        with running(fleet, tls=True) as endpoint:
            here = fleet.tell(endpoint.url, ["localhost", "127.0.0.1"])
            (answer,) = here.admit(keys_of(here), [asked], NOW)
            accept(folder / "state", read_admission(answer))
            yield Place(folder, here, asked)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestFetching:
    def test_what_the_owner_renewed_arrives_with_the_same_keys(self, place: Place) -> None:
        before, old = files(place.keys), place.certificate
        assert not renew(place.keys, NOW)  # the same again is nothing newer
        assert files(place.keys) == before
        place.renew()
        assert renew(place.keys, NOW)
        assert place.certificate.not_valid_before_utc > old.not_valid_before_utc
        assert place.certificate.public_key() == old.public_key()
        now = files(place.keys)
        assert {name for name in now if now[name] != before[name]} == {"tls.crt", "admission.json"}
        assert not renew(place.keys, NOW)

    def test_it_learns_where_the_server_moved(self, place: Place) -> None:
        moved = place.fleet.tell("https://moved.example", ["localhost", "127.0.0.1"])
        moved.renew(keys_of(moved), LATER, 30)
        assert renew(place.keys, NOW)
        assert (place.keys / "server").read_text() == "https://moved.example\n"

    def test_an_older_one_that_a_server_kept_is_not_taken(self, place: Place) -> None:
        older = place.shown.read_bytes()
        place.renew()
        assert renew(place.keys, NOW)
        before = files(place.keys)
        place.shown.write_bytes(older)
        assert not renew(place.keys, NOW)
        assert files(place.keys) == before

    def test_one_that_does_not_hold_yet_is_left_for_later(self, place: Place) -> None:
        place.renew(NOW + 5 * 86400)
        assert not renew(place.keys, NOW)
        assert renew(place.keys, NOW + 5 * 86400)

    @pytest.mark.parametrize("data", [b"", b"{}", b"x" * 100_000])
    def test_nonsense_changes_nothing(self, place: Place, data: bytes) -> None:
        before = files(place.keys)
        place.shown.write_bytes(data)
        with pytest.raises(CoveyError):
            renew(place.keys, NOW)
        assert files(place.keys) == before

    def test_another_devices_changes_nothing(self, place: Place) -> None:
        before, other = files(place.keys), device(place.folder, "pi-2")
        (answer,) = place.fleet.admit(keys_of(place.fleet), [other], LATER)
        place.shown.write_bytes(answer)
        with pytest.raises(ProtocolError, match="another request"):
            renew(place.keys, NOW)
        assert files(place.keys) == before

    def test_a_server_that_is_down_is_said(self, place: Place) -> None:
        gone = place.fleet.tell("https://127.0.0.1:1", ["localhost", "127.0.0.1"])
        gone.renew(keys_of(gone), LATER, 30)
        assert renew(place.keys, NOW)
        with pytest.raises(StateError, match="no answer"):
            renew(place.keys, NOW)

    def test_by_hand_as_well_while_the_agent_runs(self, place: Place) -> None:
        """The agent holds the state for as long as it runs: that must not stop its owner."""
        place.renew()
        admission = own_admission(place.keys)
        assert admission is not None
        url = admission.admission.server
        with held(place.keys, StateError("busy")):
            by_hand = threading.Thread(
                target=enrolling.enrol,
                args=(url, place.asked, place.keys, None, Patience(0, lambda _: None)),
                daemon=True,
            )
            by_hand.start()
            by_hand.join(20)
            assert not by_hand.is_alive()


@dataclass
class Asking:
    """A renewal whose process ends as it is told to."""

    program: str
    now: float = 1000.0
    drawn: float = 0.0
    renewed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        words = (sys.executable, "-c", self.program)
        self.asks = Renewal(
            words,
            lambda: self.renewed.append("yes"),
            first=0,
            clock=lambda: self.now,
            chance=lambda: self.drawn,
        )

    def begins(self) -> bool:
        """Whether it is time now."""
        before = psutil.Process().children()
        self.asks.step()
        return bool(psutil.Process().children() != before)

    def ends(self) -> None:
        while psutil.Process().children():
            self.asks.step()
            time.sleep(0.01)


class TestWhen:
    @pytest.mark.parametrize("status", [RENEWED, NOTHING_NEWER])
    def test_daily_and_not_all_at_once(self, status: int) -> None:
        asking = Asking(f"raise SystemExit({status})", drawn=0.5)
        assert asking.begins()
        asking.ends()
        assert asking.renewed == ["yes"] * (status == RENEWED)
        asking.now += 0.74 * DAY
        assert not asking.begins()
        asking.now += 0.02 * DAY
        assert asking.begins()
        asking.ends()

    def test_a_fleet_that_starts_does_not_ask_at_once(self) -> None:
        clock = [0.0]
        asks = Renewal(("false",), lambda: None, clock=lambda: clock[0], chance=lambda: 0.5)
        clock[0] = renewal.HOUR * 0.49
        asks.step()
        assert psutil.Process().children() == []

    def test_after_failures_later_and_later(self) -> None:
        asking = Asking(f"raise SystemExit({FAILED})")
        assert asking.begins()
        for wait in (*(FIRST_FAILURE * 2**n for n in range(8)), DAY, DAY):
            asking.ends()
            asking.now += wait / 2 - 1  # nothing was drawn: the least of it
            assert not asking.begins()
            asking.now += 1
            assert asking.begins()
        asking.ends()
        assert asking.renewed == []

    def test_a_process_that_hangs_is_ended(self) -> None:
        asking = Asking("import time; time.sleep(600)")
        assert asking.begins()
        asking.asks.step()
        assert psutil.Process().children() != []
        asking.now += LONGEST
        asking.asks.step()
        assert psutil.Process().children() == []

    def test_closed_it_leaves_none(self) -> None:
        asking = Asking("import time; time.sleep(600)")
        assert asking.begins()
        asking.asks.close()
        assert psutil.Process().children() == []

    def test_a_program_that_is_not_there_stops_nothing(self, capfd: pytest.CaptureFixture[str]) -> None:
        Renewal(("/nowhere/python",), lambda: None, first=0).step()
        assert "cannot be asked for" in capfd.readouterr().err


def wait(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_agent_has_it_fetched_and_shows_the_new_certificate(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of it, but for how long it waits; what the agent shows next is read from the disk again."""
    monkeypatch.setattr(renewal, "FIRST", 0.0)
    monkeypatch.setattr(agents, "LOOK_SECONDS", 0.05)
    from covey_client import session_client  # noqa: PLC0415 - gRPC

    shown = list[bytes]()

    class Client(session_client.SessionClient):
        def show(self, given: session_client.Credentials) -> None:
            shown.append(given.certificate)
            super().show(given)

    monkeypatch.setattr(session_client, "SessionClient", Client)
    np.savez(place.folder / "ok.npz", x=np.zeros((8, 1, 8, 8)), y=np.ones(8, int))
    sockets = f'[socket]\npath = "{place.folder}/a"\nowner = "{place.folder}/o"\n'
    path = device_toml(
        place.folder, place.folder / "ok.npz", socket=f'{sockets}[session]\nserver = "127.0.0.1:1"\n'
    )
    place.renew()
    stop = threading.Event()
    agent = threading.Thread(target=agents.run, args=(path, stop))
    agent.start()
    try:
        wait(lambda: len(shown) > 1)
    finally:
        stop.set()
        agent.join(20)
    assert shown[0] != shown[1] == (place.keys / "tls.crt").read_bytes()
