"""The enrolment endpoint in a thread, for tests that speak to it."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from covey_server.enrolment_service import EnrolmentServer, Place
from covey_server.fleet_owner import OwnedFleet
from http_thread import in_a_thread
from made_fleet import desk_of


@dataclass
class Endpoint:
    """A running endpoint."""

    server: EnrolmentServer
    said: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@contextmanager
def running(fleet: OwnedFleet, *, tls: bool = False, proxied: bool = False) -> Iterator[Endpoint]:
    """Serve a fleet's folder, on loopback."""
    said: list[str] = []
    place = Place(tls=fleet.operator if tls else None, proxied=proxied)
    server = EnrolmentServer(desk_of(fleet), place, said.append)
    with in_a_thread(server):
        yield Endpoint(server, said)


def trusting(ca: bytes) -> ssl.SSLContext:
    """TLS that believes one authority."""
    return ssl.create_default_context(cadata=ca)
