"""A masked sum over real streams with mutual TLS: the same as in one process, whatever breaks in between."""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, Queue

import grpc
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run as FlowerRun

from agents import agent
from covey import delivery, session
from covey.delivery import Answer, Delivery, Refusal, Requested
from covey.errors import InputError, ProtocolError
from covey_client.agent import Agent
from covey_client.session_client import Credentials, SessionClient
from covey_server.session_grid import SessionGrid, node_of
from covey_server.sessions import MOST_WAITING, Certificates, Sessions, SessionServer
from covey_simulations.grid import InProcessGrid
from covey_strategies.private_sum import PrivateSum, collect
from digits_fleet import VALIDATE, MemoryBook, crowd, grid_of, masked, named, question

FLEET = crowd(12)
NODES = list(FLEET.devices)
STAGES = ("advertise", "share", "masked", "consistency", "unmask")


@dataclass
class Authority:
    """Signs certificates of a test's own."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def pem(self) -> bytes:
        return self._signed("test CA", self.key.public_key(), ca=True)

    def issued(self, name: str, *, days: int = 1) -> tuple[bytes, bytes]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self._signed(name, key.public_key(), days=days), private

    def _signed(self, name: str, key: ec.EllipticCurvePublicKey, *, days: int = 1, ca: bool = False) -> bytes:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        )
        return made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass
class Service:
    """The service on a port of loopback, and who may attend."""

    authority: Authority = field(default_factory=Authority)
    members: set[str] = field(default_factory=lambda: {named(node) for node in NODES})
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions = Sessions(lambda: frozenset(self.members))
        certificate, key = self.authority.issued("localhost")
        self.shown = Certificates(certificate, key, self.authority.pem)
        self.server = SessionServer("127.0.0.1:0", self.shown, self.sessions)
        self.address = f"localhost:{self.server.port}"

    def credentials(self, name: str, *, by: Authority | None = None, days: int = 1) -> Credentials:
        certificate, key = (by or self.authority).issued(name, days=days)
        return Credentials(self.authority.pem, certificate, key)

    def client(self, name: str, answer: Callable[[Delivery], Answer], **options: object) -> SessionClient:
        shown = self.credentials(name, **options)  # type: ignore[arg-type]
        return SessionClient(self.address, shown, answer, self.told.append, first_wait=0.05)

    def wait(self, devices: int, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while len(self.sessions.attending()) != devices:
            assert time.monotonic() < deadline, self.told
            time.sleep(0.02)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.server.close()


@contextmanager
def attending(service: Service, agents: dict[str, Agent]) -> Iterator[dict[str, SessionClient]]:
    """Agents with a stream each."""
    with ExitStack() as stack:
        clients = {}
        for name, each in agents.items():
            clients[name] = service.client(name, each.answer)
            stack.callback(clients[name].close)
        service.wait(len(agents))
        yield clients


def agents_of(folder: Path) -> dict[str, Agent]:
    return {named(node): agent(each, folder) for node, each in FLEET.participants.items()}


@dataclass
class Watched(SessionGrid):
    """Tells a test of each stage before it is sent, and how it went."""

    service: Service
    before: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        InProcessGrid(lambda message, _: message, [2])  # type: ignore[arg-type] # names the run, as Flower does
        super().__init__(self.service.sessions, FlowerRun.create_empty(1))

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        sent = list(messages)
        if sent:
            self.before(sent[0].metadata.message_type.rpartition(".")[2])
        return super().send_and_receive(sent, timeout=timeout)


def summed(grid: Grid, timeout: float = 20) -> PrivateSum:
    """One masked sum without noise."""
    nodes = list(grid.get_node_ids())
    to = question(VALIDATE, nodes, minimum=8, protection=masked(FLEET), grid=grid)
    return collect(
        grid, to.exchanges, grid.send_and_receive(to.messages(), timeout=timeout), MemoryBook(), timeout
    )


def same(one: PrivateSum, other: PrivateSum) -> bool:
    return all(np.array_equal(one.sums[name], other.sums[name]) for name in one.sums | other.sums)


def test_a_sum_over_streams_is_the_sum_in_one_process(service: Service, tmp_path: Path) -> None:
    with attending(service, agents_of(tmp_path)):
        found = summed(Watched(service))
    here = summed(grid_of(FLEET.participants))
    assert found.devices == here.devices == 12
    assert same(found, here)


@pytest.mark.parametrize("stage", STAGES)
def test_a_device_that_is_lost_at_a_stage_drops_out(stage: str, service: Service, tmp_path: Path) -> None:
    with attending(service, agents_of(tmp_path)) as clients:
        lost = [clients[named(node)] for node in (3, 7, 11)]

        def lose(now: str) -> None:
            if now == stage:
                for each in lost:
                    each.close()
                service.wait(9)

        found = summed(Watched(service, lose), timeout=2)
    assert found.devices == (12 if stage in ("consistency", "unmask") else 9)


@pytest.mark.parametrize("stage", STAGES)
def test_streams_that_break_between_stages_are_gone_on_with(
    stage: str, service: Service, tmp_path: Path
) -> None:
    """Every device is cut off; each comes back by itself, and is asked what it has not answered."""

    def cut(now: str) -> None:
        if now == stage:
            service.sessions.close()

    with attending(service, agents_of(tmp_path)):
        found = summed(Watched(service, cut))
    assert found.devices == 12
    assert same(found, summed(grid_of(FLEET.participants)))


def test_an_answer_that_was_lost_with_its_stream_is_given_again_and_computed_once(service: Service) -> None:
    """The stream breaks while the device answers: the same ticket is asked again on the next."""
    asked, counted = Requested("ab" * 32, "share", b""), list[Delivery]()
    may_answer = threading.Event()

    def answer(each: Delivery) -> Answer:
        counted.append(each)
        if len(counted) == 1:
            service.sessions.close()
            may_answer.wait(5)
        return Refusal("said")

    client = service.client(named(2), answer)
    service.wait(1)
    ticket = service.sessions.ask(named(2), asked)
    may_answer.set()
    found = service.sessions.answers([ticket], 20)
    client.close()
    assert found == {ticket: Refusal("said")}
    assert set(counted) == {asked}


# -- who may attend


def refused(service: Service, client: SessionClient) -> str:
    """What its owner is told; it must never attend."""
    deadline = time.monotonic() + 20
    while not any("not connected" in line for line in service.told):
        assert time.monotonic() < deadline
        assert service.sessions.attending() == []
        time.sleep(0.02)
    client.close()
    return next(line for line in service.told if "not connected" in line)


def never(_: Delivery) -> Answer:
    raise AssertionError("asked")


def test_who_is_not_in_the_roster_is_sent_away_and_told(service: Service) -> None:
    told = refused(service, service.client("stranger", never))
    assert "permission denied: 'stranger' is not in the roster" in told


def test_a_device_that_is_revoked_is_cut_off_at_the_next_question(service: Service, tmp_path: Path) -> None:
    with attending(service, agents_of(tmp_path)):
        service.members.remove(named(5))
        found = summed(Watched(service))
        assert found.devices == 11
        assert named(5) not in service.sessions.attending()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("case", ["another authority's", "expired", "none"])
def test_a_certificate_that_does_not_hold_opens_no_stream(
    case: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covey_client.session_client.LONGEST_WAIT", 1.0)
    if case == "none":
        with (
            grpc.secure_channel(
                service.address, grpc.ssl_channel_credentials(service.authority.pem)
            ) as channel,
            pytest.raises(grpc.FutureTimeoutError),
        ):
            grpc.channel_ready_future(channel).result(timeout=1)
        assert service.sessions.attending() == []
        return
    options = {"by": Authority()} if case == "another authority's" else {"days": -1}
    refused(service, service.client(named(2), never, **options))


@pytest.mark.timeout(120)
def test_a_server_with_another_authoritys_certificate_is_not_believed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covey_client.session_client.LONGEST_WAIT", 1.0)
    shown = service.credentials(named(2))
    shown = Credentials(Authority().pem, shown.certificate, shown.key)
    refused(service, SessionClient(service.address, shown, never, service.told.append))


def test_a_second_stream_of_one_device_replaces_the_first(service: Service) -> None:
    first = service.client(named(2), lambda _: Refusal("first"))
    service.wait(1)
    stream = service.sessions.attend(named(2))  # somebody else with its certificate, or it comes back
    assert service.sessions.attending() == [named(2)]
    ticket = service.sessions.ask(named(2), Requested("ab" * 32, "share", b""))
    assert session.ask(stream.frames.get(timeout=5) or b"").ticket == ticket
    first.close()


# -- what they may say


def raw(service: Service, name: str) -> grpc.Channel:
    shown = service.credentials(name)
    credentials = grpc.ssl_channel_credentials(shown.authority, shown.key, shown.certificate)
    return grpc.secure_channel(service.address, credentials, [("grpc.max_send_message_length", -1)])


def says(service: Service, name: str, data: bytes) -> grpc.StatusCode | None:
    """A device says something of its own accord; how its stream ends, None if it goes on."""
    with raw(service, name) as channel:
        outgoing: Queue[bytes | None] = Queue()
        call = channel.stream_stream("/covey.Sessions/Attend")(iter(outgoing.get, None), timeout=2)
        outgoing.put(data)
        try:
            for _ in call:
                pass
        except grpc.RpcError as error:
            outgoing.put(None)
            return None if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED else error.code()
    return grpc.StatusCode.OK


def test_what_a_device_says_under_anothers_ticket_counts_for_nothing(service: Service) -> None:
    ticket = service.sessions.ask(named(2), Requested("ab" * 32, "share", b""))
    lie = session.encode(session.Said(ticket, delivery.to_bytes(Refusal("a lie"))))
    assert says(service, named(3), lie) is None
    assert service.sessions.answers([ticket], 0) == {}


@pytest.mark.parametrize("data", [b"", b"\xc1", bytes(1000)], ids=["nothing", "no message", "zeros"])
def test_what_is_no_answer_ends_the_stream_and_no_other(
    data: bytes, service: Service, tmp_path: Path
) -> None:
    with attending(service, agents_of(tmp_path)):
        service.members.add("liar")
        assert says(service, "liar", data) not in {None, grpc.StatusCode.OK}
        assert summed(Watched(service)).devices == 12


def test_a_message_that_is_too_long_is_not_read(service: Service) -> None:
    assert says(service, named(3), bytes(session.FRAME + 1)) == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_device_that_does_not_read_holds_no_memory_and_nobody_up(service: Service) -> None:
    stream = service.sessions.attend(named(2))
    for _ in range(3 * MOST_WAITING):
        service.sessions.ask(named(2), Requested("ab" * 32, "share", b""))
    assert stream.frames.qsize() <= MOST_WAITING
    with suppress(Empty):
        while stream.frames.get_nowait() is not None:
            pass
    assert stream.frames.empty()  # the last said that the stream is over


def test_an_answer_after_its_time_is_dropped(service: Service) -> None:
    ticket = service.sessions.ask(named(2), Requested("ab" * 32, "share", b""))
    assert service.sessions.answers([ticket], 0) == {}
    late = session.encode(session.Said(ticket, delivery.to_bytes(Refusal("late"))))
    service.sessions.heard(named(2), late)
    assert service.sessions._said == {}
    assert service.sessions._asked == {}


def test_an_address_that_is_taken_is_said(service: Service) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot listen on"):
            SessionServer(f"127.0.0.1:{taken.getsockname()[1]}", service.shown, service.sessions)


def test_nodes_are_devices(service: Service) -> None:
    assert node_of("pi-07") == node_of("pi-07") != node_of("pi-08")
    assert 0 <= node_of("pi-07") < 1 << 62
    with pytest.raises(ProtocolError, match="never attended"):
        Watched(service).push_messages([Message(RecordDict(), node_of("pi-09"), "train.share")])
