"""Checks of what a device says to others and how: certificates, servers, sockets, units."""

import errno
import pwd
import socket
import ssl
import stat
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from covey.errors import InputError
from covey_client.checkup import Row
from covey_io.device_enrolment import CA, SERVER, TLS_CERTIFICATE, TLS_KEY, is_enrolled

DAY: Final = 86400.0
SOON_DAYS: Final = 21.0
ENROL: Final = "covey device enrol --server URL --token-file FILE"
RENEW: Final = "the owner: covey fleet renew; the agent fetches it within a day, covey device enrol at once"
_SHORT: Final = 1.0


@dataclass(frozen=True)
class Address:
    """A server that a device speaks to.

    Attributes:
        host: Its name or address.
        port: Of it.
        mutual: Whether the device shows its certificate there.
    """

    host: str
    port: int
    mutual: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address(text: str, *, mutual: bool = False) -> Address:
    """An address from a URL, or from HOST:PORT.

    Raises:
        InputError: It is neither.
    """
    parts = urlsplit(text if "//" in text else f"//{text}")
    try:
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        port = 0
    if not parts.hostname or not port:
        raise InputError(f"{text!r} is no address", hint="write HOST:PORT, or https://HOST")
    return Address(parts.hostname, port, mutual)


def check_enrolled(state: Path) -> Row:
    """Whether the device is in a fleet."""
    if is_enrolled(state):
        return Row("enrolment", "ok", f"enrolled, keys in {state}")
    return Row("enrolment", "fail", f"{state} holds no device of a fleet", ENROL)


def check_certificate(state: Path, now: float) -> Row:
    """The device's client certificate: its time, its issuer, its key.

    Args:
        state: The folder of the device's keys.
        now: Unix seconds.
    """
    try:
        mine = x509.load_pem_x509_certificate((state / TLS_CERTIFICATE).read_bytes())
        fleets = x509.load_pem_x509_certificate((state / CA).read_bytes())
        key = load_pem_private_key((state / TLS_KEY).read_bytes(), None)
    except FileNotFoundError as error:
        return Row("certificate", "warn", f"{error.filename} is not there", ENROL)
    except (OSError, ValueError) as error:
        return Row("certificate", "fail", f"cannot be read: {error}", RENEW)
    if _raw(key.public_key()) != _raw(mine.public_key()):
        return Row("certificate", "fail", "it is for another key than the device's", RENEW)
    try:
        mine.verify_directly_issued_by(fleets)
    except (InvalidSignature, ValueError, TypeError):
        return Row("certificate", "fail", "the fleet's authority did not issue it", RENEW)
    return _lasting(min(mine, fleets, key=lambda each: each.not_valid_after_utc), mine, now)


def _lasting(first: x509.Certificate, mine: x509.Certificate, now: float) -> Row:
    """How long it is good for."""
    ends = first.not_valid_after_utc
    left = (ends - datetime.fromtimestamp(now, UTC)).total_seconds() / DAY
    whose = "it" if first is mine else "the authority's"
    if left <= 0:
        return Row("certificate", "fail", f"{whose} expired on {ends:%Y-%m-%d}", RENEW)
    if datetime.fromtimestamp(now, UTC) < mine.not_valid_before_utc:
        return Row("certificate", "fail", "it is not valid yet", "set the clock: timedatectl")
    if left < SOON_DAYS:
        return Row("certificate", "warn", f"{whose} expires on {ends:%Y-%m-%d}", RENEW)
    return Row("certificate", "ok", f"valid until {ends:%Y-%m-%d}")


def check_server(state: Path) -> Row:
    """Reach the server that the device was told when it was admitted.

    Args:
        state: The folder of the device's keys.
    """
    try:
        text = (state / SERVER).read_text("utf-8").strip()
    except OSError:
        text = ""
    if not text:
        return Row("server", "warn", "none is known", f"{ENROL}, or --address HOST:PORT")
    return check_reachable(address(text), state)


def check_reachable(where: Address, state: Path, seconds: float = 5.0) -> Row:
    """Connect, and shake hands with the fleet's authority as the only one that is believed.

    Args:
        where: The server.
        state: The folder of the device's keys: `ca.crt`, and the client certificate.
        seconds: At most, for each step.
    """
    name = f"reach {where}"
    began = time.monotonic()
    try:
        with socket.create_connection((where.host, where.port), timeout=seconds) as plain:
            if not (state / CA).exists():
                return Row(name, "warn", "answers; without ca.crt its certificate is not checked", ENROL)
            return _shaken(name, where, plain, state, began)
    except OSError as error:
        return Row(name, "fail", *_unreachable(error, seconds))


def _unreachable(error: OSError, seconds: float) -> tuple[str, str]:
    """What is wrong, and what to do."""
    match error:
        case ssl.SSLCertVerificationError():
            said = f"its certificate does not hold: {error.verify_message}"
            return said, "check the clock, the URL's host, and whether something in between answers instead"
        case ssl.SSLError():
            said = (error.reason or str(error)).lower().replace("_", " ")
            return f"no TLS: {said}", "is it that port, and is the device still in the roster?"
        case socket.gaierror():
            return f"the name is not known: {error.strerror}", "check DNS: resolvectl query HOST"
        case TimeoutError():
            return f"no answer within {seconds:g} s", "check network, firewall and server"
        case _:
            return (
                error.strerror or str(error)
            ).lower(), "check network and server: covey fleet status there"


def _shaken(name: str, where: Address, plain: socket.socket, state: Path, began: float) -> Row:
    context = ssl.create_default_context(cafile=str(state / CA))
    context.set_alpn_protocols(["h2", "http/1.1"])
    if where.mutual:
        context.load_cert_chain(state / TLS_CERTIFICATE, state / TLS_KEY)
    with context.wrap_socket(plain, server_hostname=where.host) as secure:
        took = time.monotonic() - began
        _still_open(secure, mutual=where.mutual)
        version = secure.version()
    return Row(name, "ok", f"{version} in {1000 * took:.0f} ms")


def _still_open(secure: ssl.SSLSocket, *, mutual: bool) -> None:
    """In TLS 1.3 a server turns a client's certificate away after the handshake (RFC 8446, 4.4.2.4)."""
    secure.settimeout(_SHORT)
    try:
        heard = secure.recv(1)
    except TimeoutError:  # it waits for us to speak
        return
    if mutual and not heard:  # gRPC closes without a word
        reason = "closed after the handshake: it may not believe this device's certificate"
        raise ConnectionResetError(errno.ECONNRESET, reason)


def check_socket(path: Path) -> Row:
    """Whether the agent listens, and for whom."""
    start = "systemctl start covey-agent"
    try:
        found = path.stat()
    except OSError as error:
        return Row("socket", "fail", f"{path}: {(error.strerror or str(error)).lower()}", start)
    if not stat.S_ISSOCK(found.st_mode):
        return Row("socket", "fail", f"{path} is no socket", f"remove it, then {start}")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_SHORT)
        try:
            probe.connect(str(path))
        except PermissionError:
            return Row("socket", "warn", f"{path}: not for this user", "run this as the agent's user")
        except OSError as error:
            return Row("socket", "fail", f"{path}: {(error.strerror or str(error)).lower()}", start)
    told = f"{path} of {_user(found.st_uid)}, mode {stat.S_IMODE(found.st_mode):04o}"
    return Row("socket", "ok", told)


def check_unit(unit: str, command: str = "systemctl") -> Row:
    """Whether a systemd unit is active.

    Args:
        unit: Its name.
        command: systemd's.
    """
    argv = [command, "show", "--property=LoadState,ActiveState,NRestarts", unit]
    try:
        ran = subprocess.run(  # noqa: S603 - a fixed command without a shell
            argv, capture_output=True, timeout=10, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return Row(unit, "warn", "systemd does not answer", "start it some other way, or boot with systemd")
    known = dict(line.partition("=")[::2] for line in ran.stdout.decode("utf-8", "replace").splitlines())
    if known.get("LoadState") == "not-found":
        return Row(unit, "warn", "not installed", "client/deploy/install.sh")
    state, restarts = known.get("ActiveState", "unknown"), known.get("NRestarts", "0")
    if state != "active":
        return Row(unit, "fail", state, f"systemctl start {unit}; journalctl --unit {unit}")
    if restarts not in {"0", ""}:
        return Row(unit, "warn", f"active, restarted {restarts} times", f"journalctl --unit {unit}")
    return Row(unit, "ok", "active")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _raw(key: object) -> bytes:
    public_bytes = getattr(key, "public_bytes", None)
    if public_bytes is None:
        raise ValueError("no such key")
    found: bytes = public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found
