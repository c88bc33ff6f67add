"""The session service: agents attend over mutual TLS, and a stage takes as long as the network does.

One bidirectional gRPC stream a device, opened by the device, so that no router in between must let anything
in. The name in the client certificate says who attends.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc

from covey import session
from covey.errors import InputError, ProtocolError
from covey_server.sessions import Sessions, Stream

MOST_STREAMS: Final = 1000
HOUR_MS: Final = 3_600_000

OPTIONS: Final = (
    ("grpc.max_receive_message_length", session.FRAME),
    ("grpc.max_send_message_length", session.FRAME),
    ("grpc.keepalive_time_ms", 30_000),  # below what routers forget an idle connection after
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 60_000),  # a connection without a stream
    ("grpc.max_connection_age_ms", 6 * HOUR_MS),  # certificates are looked at again
    ("grpc.max_connection_age_grace_ms", 60_000),
    ("grpc.max_concurrent_streams", 4),  # of one connection; an agent needs one
    ("grpc.so_reuseport", 0),  # two runs on one address are an error, not a lottery
)


@dataclass(frozen=True)
class Certificates:
    """What the service shows, and whom it believes; PEM.

    Attributes:
        certificate: The server's.
        key: Its private key. Not shown when printed.
        authority: That signed the devices' certificates.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    authority: bytes


def certificates(operator: Path) -> Certificates:
    """Of the operator's folder.

    Raises:
        InputError: A file is missing.
    """
    try:
        shown, key, authority = ((operator / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt"))
    except OSError as error:
        raise InputError(
            f"{error.filename}: {(error.strerror or str(error)).lower()}",
            hint="the session service needs what `covey fleet init` made for the server's host",
        ) from error
    return Certificates(shown, key, authority)


class SessionServer:
    """The service on an address, until it is closed.

    Args:
        address: Host and port; port 0 for any.
        shown: Certificates.
        sessions: Who attends.

    Raises:
        InputError: The address is taken, or cannot be listened on.
    """

    def __init__(self, address: str, shown: Certificates, sessions: Sessions) -> None:
        self._sessions = sessions
        self._server = grpc.server(
            ThreadPoolExecutor(MOST_STREAMS, thread_name_prefix="session"),
            options=OPTIONS,
            maximum_concurrent_rpcs=MOST_STREAMS,
        )
        attend = grpc.stream_stream_rpc_method_handler(self._attend)
        handlers = {session.METHOD: attend}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(session.SERVICE, handlers),)
        )
        credentials = grpc.ssl_server_credentials(
            [(shown.key, shown.certificate)], shown.authority, require_client_auth=True
        )
        try:
            self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise InputError(
                f"sessions cannot listen on {address}", hint="is another run going on? name another port"
            ) from error
        self._server.start()

    def close(self) -> None:
        """All streams end."""
        self._sessions.close()
        self._server.stop(1).wait()

    def _attend(self, said: Iterator[bytes], context: Any) -> Iterator[bytes]:
        names = context.auth_context().get("x509_common_name", [])
        stream = Stream(names[0].decode("utf-8", "replace") if len(names) == 1 else "", context.cancel)
        if not context.add_callback(lambda: self._sessions.leave(stream)):
            return  # it is gone already
        try:
            self._sessions.attend(stream)
        except ProtocolError as error:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, error.message)
        threading.Thread(target=self._hear, args=(stream, said, context), daemon=True).start()
        while (asked := stream.asked.get()) is not None:
            ticket, data = asked
            if self._sessions.is_asked(ticket):
                yield from session.asks(ticket, data)

    def _hear(self, stream: Stream, said: Iterator[bytes], context: Any) -> None:
        """What a device says; whatever is no answer ends its stream."""
        try:
            for data in said:
                self._sessions.heard(stream, data)
        except ProtocolError:
            context.cancel()
        except Exception:  # noqa: BLE001 - gRPC raises whatever ended the stream, which `leave` is told of
            return
        finally:
            self._sessions.leave(stream)
