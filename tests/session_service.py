"""The session service on loopback with certificates of a test's own, and agents that attend."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import Queue

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from covey.delivery import Answer, Delivery, Requested, to_bytes
from covey_client.session_client import Credentials, SessionClient
from covey_server.session_server import Certificates, SessionServer
from covey_server.sessions import Sessions

ASKED = Requested("ab" * 32, "share", b"")
QUESTION = to_bytes(ASKED)


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
    members: set[str] = field(default_factory=lambda: {f"device-{node:03d}" for node in range(2, 14)})
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


@contextmanager
def serving() -> Iterator[Service]:
    """A service that is closed at the end."""
    made = Service()
    try:
        yield made
    finally:
        made.server.close()


@contextmanager
def attending(
    service: Service, answers: dict[str, Callable[[Delivery], Answer]]
) -> Iterator[dict[str, SessionClient]]:
    """Devices with a stream each."""
    with ExitStack() as stack:
        clients = {}
        for name, answer in answers.items():
            clients[name] = service.client(name, answer)
            stack.callback(clients[name].close)
        service.wait(len(answers))
        yield clients


def raw(service: Service, name: str) -> grpc.Channel:
    """A device's connection, without its manners."""
    shown = service.credentials(name)
    credentials = grpc.ssl_channel_credentials(shown.authority, shown.key, shown.certificate)
    alone = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.secure_channel(service.address, credentials, alone)


def says(service: Service, name: str, *frames: bytes) -> grpc.StatusCode | None:
    """A device says something of its own accord; how its stream ends, None if it goes on."""
    with raw(service, name) as channel:
        outgoing: Queue[bytes | None] = Queue()
        call = channel.stream_stream("/covey.Sessions/Attend")(iter(outgoing.get, None), timeout=2)
        for each in frames:
            outgoing.put(each)
        try:
            for _ in call:
                pass
        except grpc.RpcError as error:
            outgoing.put(None)
            return None if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED else error.code()
    return grpc.StatusCode.OK
