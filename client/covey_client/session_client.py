"""The agent's stream to the session service: kept up, and after a break gone on with.

The agent opens it, so that nothing must be let in to the device. It shows the certificate that the fleet's
owner signed, and believes the server for the authority that it was given when it was admitted. What arrives
is answered like anything that the SuperNode's ClientApp brings.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Final

import grpc

from covey import delivery, session
from covey.delivery import LONGEST_REASON, Answer, Delivery, Refusal
from covey.errors import InputError, ProtocolError
from covey.session import Joining
from covey_client.participant import Log

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
CALM_SECONDS: Final = 30.0
"""A stream that has lasted so long was good: the next wait is short again."""

LOOK_SECONDS: Final = 0.2
NEW_SECONDS: Final = 3.0
"""A connection that is being made is given so long before a wake begins another."""

OPTIONS: Final = (
    ("grpc.max_receive_message_length", session.FRAME),
    ("grpc.max_send_message_length", session.FRAME),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True)
class Credentials:
    """Of a device; PEM.

    Attributes:
        authority: Of the fleet.
        certificate: The device's.
        key: Its private key. Not shown when printed.
    """

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)


def credentials(state: Path) -> Credentials:
    """Of a device's folder.

    Raises:
        InputError: A file is missing.
    """
    try:
        return Credentials(*((state / name).read_bytes() for name in ("ca.crt", "tls.crt", "tls.key")))
    except OSError as error:
        raise InputError(
            f"{error.filename}: {(error.strerror or str(error)).lower()}",
            hint="enrol the device (covey device enrol), or remove [session] from its configuration",
        ) from error


class SessionClient:
    """A stream that is kept up until it is closed.

    Args:
        server: Host and port.
        shown: The device's credentials.
        answer: Answers a delivery.
        log: Takes one line for the device's owner.
        first_wait: Seconds after the first break; twice as long after each, up to a minute, with jitter.
    """

    def __init__(
        self,
        server: str,
        shown: Credentials,
        answer: Callable[[Delivery], Answer],
        log: Log,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        self._server = server
        self._answer = answer
        self._log = log
        self._first_wait = first_wait
        self._stop = threading.Event()
        self._woken = threading.Event()
        self._state = f"not connected to {server} yet"
        self._since = time.time()
        self._broke = ""
        self._call: grpc.Call | None = None
        self.show(shown)
        self._thread = threading.Thread(target=self._keep_up, name="session", daemon=True)
        self._thread.start()

    def state(self) -> str:
        """For the device's owner, in a line: how it stands, since when, and what broke it last."""
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self._since))
        broke = f"; before that: {self._broke}" if self._broke and self._broke not in self._state else ""
        return f"{self._state}, since {since}{broke}"

    def show(self, shown: Credentials) -> None:
        """Show these from the next connection on; one that is open stays."""
        self._credentials = grpc.ssl_channel_credentials(shown.authority, shown.key, shown.certificate)

    def wake(self) -> None:
        """Try now: the service is likely to be there. Without it, the next try may be a minute away."""
        self._woken.set()

    def close(self) -> None:
        """The stream ends; an answer that is being computed is waited for a little."""
        self._stop.set()
        self._woken.set()
        call = self._call
        if call is not None:
            call.cancel()
        self._thread.join(timeout=5)

    def _keep_up(self) -> None:
        wait = self._first_wait
        while not self._stop.is_set():
            self._woken.clear()
            began = time.monotonic()
            why = self._attend()
            if self._stop.is_set():
                return
            if time.monotonic() - began > CALM_SECONDS:
                wait = self._first_wait
            self._broke = why
            self._says(f"not connected to {self._server}: {why}")
            if self._woken.wait(wait * (0.5 + random.random() / 2)):  # so that a fleet does not come at once
                wait = self._first_wait
            else:
                wait = min(2 * wait, LONGEST_WAIT)

    def _attend(self) -> str:
        """One stream to its end; says why it ended."""
        outgoing: Queue[bytes | None] = Queue()
        path = f"/{session.SERVICE}/{session.METHOD}"
        try:
            with grpc.secure_channel(self._server, self._credentials, OPTIONS) as channel:
                self._wait_until_ready(channel)
                call = channel.stream_stream(path)(_until_none(outgoing))
                self._call = call
                if self._stop.is_set():
                    call.cancel()
                self._says(f"connected to {self._server}")
                self._answer_all(call, outgoing)
                return "the server ended the stream"
        except grpc.FutureTimeoutError:
            return "no answer, or a certificate that does not hold"
        except grpc.RpcError as error:
            return _reason(error)
        except ProtocolError as error:
            return error.message
        except Exception as error:  # noqa: BLE001 - the stream is kept up, whatever became of this one
            return f"{type(error).__name__}: {error}"[:LONGEST_REASON]
        finally:
            self._call = None
            outgoing.put(None)

    def _wait_until_ready(self, channel: grpc.Channel) -> None:
        """Until there is a connection, for a minute at most, and no longer than this client is wanted.

        A channel tries again ever more rarely: one that is woken begins anew, unless it has just begun.
        """
        ready = grpc.channel_ready_future(channel)
        began = time.monotonic()
        while True:
            try:
                ready.result(timeout=LOOK_SECONDS)
            except grpc.FutureTimeoutError:
                waited = time.monotonic() - began
                woken = self._woken.is_set() and waited > NEW_SECONDS
                if self._stop.is_set() or woken or waited > LONGEST_WAIT:
                    raise
            else:
                return

    def _answer_all(self, call: Iterator[bytes], outgoing: "Queue[bytes | None]") -> None:
        """Whatever is asked on a stream, one after the other."""
        joining = Joining("server")
        for data in call:
            piece = session.ask(data)
            asked = joining.add(piece)
            if asked is not None:
                for frame in session.says(piece.ticket, self._answered(asked)):
                    outgoing.put(frame)

    def _answered(self, asked: bytes) -> bytes:
        try:
            answer = self._answer(delivery.delivery(asked))
        except ProtocolError as error:
            answer = Refusal(error.message[:LONGEST_REASON])
        return delivery.to_bytes(answer)

    def _says(self, state: str) -> None:
        if state != self._state:
            self._state, self._since = state, time.time()
            self._log(f"session: {state}")


def _reason(error: grpc.RpcError) -> str:
    code = error.code().name.lower().replace("_", " ") if isinstance(error, grpc.Call) else "broken"
    details = error.details() if isinstance(error, grpc.Call) else ""
    return " ".join(f"{code}: {details or 'no details'}".split())[:LONGEST_REASON]


def _until_none(queue: "Queue[bytes | None]") -> Iterator[bytes]:
    while (frame := queue.get()) is not None:
        yield frame
