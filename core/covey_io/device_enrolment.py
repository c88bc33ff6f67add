"""A device's enrolment on its own disk: the keys that it makes itself, and what it was told when admitted.

identity.key       signs what the device says; see `covey_io.device_keys`
salt               likewise
node.key, node.pub its SuperNode's ECDSA P-384 key, as `ssh-keygen -t ecdsa -b 384` writes it
tls.key            ECDSA P-256 (PKCS #8, PEM), of its client certificate
request.json       what it asks, signed; made once
admission.json     what it was answered, signed; the rest follows from it
tls.crt, ca.crt    its certificate, and the fleet's authority
server             the server's URL
device.json        its name in the roster; written last: with it the device is enrolled
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from cryptography.x509.oid import NameOID

from covey.enrolment import (
    MAX_ADMISSION_BYTES,
    MAX_REQUEST_BYTES,
    Admitted,
    Asked,
    Request,
    check_answers,
    check_name,
    read_admission,
    read_request,
    sign_request,
)
from covey.errors import CoveyError, InputError, ProtocolError, StateError
from covey.secagg.states import Me
from covey_io import durable
from covey_io.device_keys import ADMISSION, KEY_BYTES, Keys, read_key, write_keys
from covey_io.lock import held

REQUEST: Final = "request.json"
NODE_KEY: Final = "node.key"
TLS_KEY: Final = "tls.key"
TLS_CERTIFICATE: Final = "tls.crt"
CA: Final = "ca.crt"
SERVER: Final = "server"
_ENROLLED: Final = "device.json"
_LOCK: Final = f".{ADMISSION}.lock"
"""Not the folder, which the agent holds: a device that runs can be given a newer admission."""

_Read = TypeVar("_Read")
_ANEW: Final = "to enrol the device anew, with new keys, name another folder (--keys)"


def make_request(folder: Path, device: str) -> Asked:
    """Make the device's keys, where they are not there yet, and its request: again the same, if run again.

    Args:
        folder: For the device's keys; made if it is not there.
        device: The name that it would like.

    Raises:
        InputError: Not a name, or the device is enrolled under another.
        StateError: A key that is there is damaged.
    """
    check_name(device)
    durable.make_folder(folder, mode=0o700)
    with held(folder / _LOCK, None):
        asked = own_request(folder)
        if asked is not None and asked.request.device == device:
            return asked
        if is_enrolled(folder):
            raise InputError(f"{folder} holds the keys of another device of a fleet", hint=_ANEW)
        data = _new_request(folder, device)
        durable.replace(folder / REQUEST, data)
        return read_request(data)


def own_request(folder: Path) -> Asked | None:
    """What the device asked; None if it never did.

    Raises:
        StateError: It is damaged.
    """
    data = _read(folder / REQUEST, MAX_REQUEST_BYTES)
    return None if data is None else _believed(folder / REQUEST, lambda: read_request(data))


def own_admission(folder: Path) -> Admitted | None:
    """What the device was answered; None if it is not enrolled this way.

    Raises:
        StateError: It is damaged.
    """
    data = _read(folder / ADMISSION, MAX_ADMISSION_BYTES)
    return None if data is None else _believed(folder / ADMISSION, lambda: read_admission(data))


def is_enrolled(folder: Path) -> bool:
    """Whether a folder is a device's that was admitted."""
    return (folder / _ENROLLED).exists()


def accept(folder: Path, admitted: Admitted) -> None:
    """Enrol the device. Once it is, an admission renews its certificate and its server's address only.

    Args:
        folder: The device's, with its request.
        admitted: Of the fleet that the device is to believe: whoever calls has compared its enrolment key.

    Raises:
        InputError: No request is there, or the device is enrolled in another fleet.
        ProtocolError: The admission is for another device or for other keys.
    """
    asked = own_request(folder)
    if asked is None:
        raise InputError(
            f"{folder} holds no request of this device", hint="covey device request --name NAME --keys DIR"
        )
    with held(folder / _LOCK, None):
        check_answers(admitted, asked)
        _check_fleet(folder, admitted)
        _write(folder, admitted)


def _check_fleet(folder: Path, admitted: Admitted) -> None:
    """Refuse whatever would change whom an enrolled device believes."""
    if not is_enrolled(folder):
        return
    before = own_admission(folder)
    if before is None or _believes(before) != _believes(admitted):
        raise InputError(f"{folder} is enrolled already, and this would change whom it believes", hint=_ANEW)


def _believes(admitted: Admitted) -> tuple[object, ...]:
    said = admitted.admission
    return admitted.enrolment, said.fleet, said.device, said.operator, admitted.reviewers, said.ca


def _write(folder: Path, admitted: Admitted) -> None:
    said = admitted.admission
    identity, salt = read_key(folder / "identity.key"), read_key(folder / "salt")
    durable.replace(folder / CA, _pem(said.ca))
    durable.replace(folder / TLS_CERTIFICATE, _pem(said.certificate))
    durable.replace(folder / SERVER, said.server.encode() + b"\n")
    durable.replace(folder / ADMISSION, admitted.data)
    me = Me(said.device, identity, admitted.enrolment)
    write_keys(folder, Keys(me, bytes.fromhex(said.operator), salt, admitted.reviewers))


def _new_request(folder: Path, device: str) -> bytes:
    for secret in ("identity.key", "salt"):
        _kept(folder / secret, lambda: os.urandom(KEY_BYTES).hex().encode() + b"\n")
    node = _kept(folder / NODE_KEY, lambda: _private(SECP384R1(), PrivateFormat.OpenSSH))
    tls = _kept(folder / TLS_KEY, lambda: _private(SECP256R1(), PrivateFormat.PKCS8))
    identity = read_key(folder / "identity.key")
    line = _node_line(folder / NODE_KEY, node)
    durable.replace(folder / "node.pub", f"{line} {device}\n".encode())
    request = Request(device=device, node=line, csr=_csr(folder / TLS_KEY, tls, device))
    return sign_request(request, identity)


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    """A secret: what is there, else a new one."""
    if not path.exists():
        durable.replace(path, make(), mode=0o600)
    return path.read_bytes()


def _private(curve: SECP256R1 | SECP384R1, form: PrivateFormat) -> bytes:
    return generate_private_key(curve).private_bytes(Encoding.PEM, form, NoEncryption())


def _node_line(path: Path, data: bytes) -> str:
    try:
        key = load_ssh_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise _damaged(path) from error
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _csr(path: Path, data: bytes, device: str) -> bytes:
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise _damaged(path) from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise _damaged(path)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())
    return csr.public_bytes(Encoding.DER)


def _read(path: Path, most: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: {type(error).__name__}", hint="run it as the device's own user") from error
    if len(data) > most:
        raise _damaged(path)
    return data


def _believed(path: Path, read: Callable[[], _Read]) -> _Read:
    try:
        return read()
    except ProtocolError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> CoveyError:
    return StateError(f"{path} is damaged", hint=_ANEW)


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
