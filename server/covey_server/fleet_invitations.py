"""Invitations and what came with them, on the owner's side.

enrolment/invitations/HASH.json        the key that shows that a request came from whoever had the token
operator/invitations/HASH.json         for the server: whom it is for, and until when
operator/pending/HASH.json             from the server: requests that wait, by their hash
operator/refused/HASH                  for the server: requests that the owner refused

HASH of an invitation is that of its gate (`covey.invitation`); no secret of a token is in operator/.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from covey.enrolment import Asked, Hash, check_name, decode, read_request
from covey.errors import InputError, ProtocolError
from covey.identity import Seconds
from covey.invitation import (
    MAX_SUBMISSION_BYTES,
    SECRET_BYTES,
    Invitation,
    Token,
    Waiting,
    pin_of,
    proves,
)
from covey_io import durable
from covey_server.fleet_owner import ENROLMENT, OwnedFleet, OwnerKeys

MOST_BYTES: Final = MAX_SUBMISSION_BYTES


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the owner keeps of a token."""

    device: str
    expires: Seconds
    proof_key: Hash
    used: Hash | None = None


@dataclass(frozen=True)
class Waited:
    """A request before the owner.

    Attributes:
        asked: What was asked.
        invitation: Whose token whoever made it had; None if that is not proved.
    """

    asked: Asked = field(repr=False)
    invitation: str | None = None


def invite(fleet: OwnedFleet, device: str, until: int) -> Token:
    """Make an invitation.

    Args:
        fleet: Whose owner invites.
        device: Only a device of this name may use it; empty for any.
        until: Its last second, unix time.

    Raises:
        InputError: Not a name, or it was given before.
    """
    if device:
        check_name(device)
        if any(each.device == device for each in fleet.members().members):
            raise InputError(f"{device!r} was admitted before", hint="invite it under another name")
    token = Token(os.urandom(SECRET_BYTES), pin_of(fleet.enrolment_key(), fleet.authority_der()))
    kept = _Kept(device=device, expires=until, proof_key=token.proof_key.hex())
    told = Invitation(device=device, expires=until)
    name = f"{token.invitation}.json"
    mine, servers = _mine(fleet), fleet.operator / "invitations"
    durable.make_folder(mine, mode=0o700)
    durable.make_folder(servers)
    durable.replace(mine / name, msgspec.json.encode(kept) + b"\n", mode=0o600)
    durable.replace(servers / name, msgspec.json.encode(told) + b"\n")
    return token


def waiting(fleet: OwnedFleet) -> list[Waited]:
    """Requests in `operator/pending`, by name.

    Raises:
        InputError: One cannot be read.
    """
    paths = sorted((fleet.operator / "pending").glob("*.json"))
    return each_once([read(fleet, path) for path in paths])


def each_once(waited: Sequence[Waited]) -> list[Waited]:
    """Requests by name, and none of them proved by an invitation that another one shows as well."""
    shown = Counter(each.invitation for each in waited)
    found = [each if shown[each.invitation] == 1 else replace(each, invitation=None) for each in waited]
    return sorted(found, key=lambda each: each.asked.request.device)


def read(fleet: OwnedFleet, path: Path) -> Waited:
    """A request from a file: as `covey device request` wrote it, or as the server keeps it.

    Raises:
        InputError: It is neither.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {type(error).__name__}", hint="name a request's file") from error
    try:
        return _waited(fleet, data)
    except ProtocolError as error:
        raise InputError(f"{path}: {error.message}", hint="let the device make its request again") from error


def admit(fleet: OwnedFleet, keys: OwnerKeys, waited: Sequence[Waited], now: int) -> tuple[bytes, ...]:
    """Admit whom the owner approved: see `OwnedFleet.admit`. Their invitations are used from then on."""
    for each in waited:
        _use(fleet, each)
    answers = fleet.admit(keys, [each.asked for each in waited], now)
    _forget(fleet, [each.asked for each in waited])
    return answers


def refuse(fleet: OwnedFleet, asked: Sequence[Asked]) -> None:
    """Refuse requests: the server says so to the devices that ask."""
    folder = fleet.operator / "refused"
    durable.make_folder(folder)
    for each in asked:
        durable.replace(folder / each.digest, f"{each.request.device}\n".encode())
    _forget(fleet, asked)


def _forget(fleet: OwnedFleet, asked: Sequence[Asked]) -> None:
    for each in asked:
        (fleet.operator / "pending" / f"{each.digest}.json").unlink(missing_ok=True)


def _waited(fleet: OwnedFleet, data: bytes) -> Waited:
    if not data.startswith(b'{"format":"covey-waiting/'):
        return Waited(read_request(data))
    held = decode(data, Waiting, "device")
    asked = read_request(held.request.encode())
    proved = _is_proved(_kept(fleet, held.invitation), asked, held.proof)
    return Waited(asked, held.invitation if proved else None)


def _is_proved(kept: _Kept | None, asked: Asked, proof: str) -> bool:
    """A token lets one device in, whoever holds it and whatever the server says."""
    return (
        kept is not None
        and kept.device in {"", asked.request.device}
        and kept.used in {None, asked.digest}
        and proves(bytes.fromhex(kept.proof_key), asked.data, proof)
    )


def _kept(fleet: OwnedFleet, invitation: str) -> _Kept | None:
    try:
        return msgspec.json.decode((_mine(fleet) / f"{invitation}.json").read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None  # then the fingerprint has to be compared


def _use(fleet: OwnedFleet, waited: Waited) -> None:
    kept = _kept(fleet, waited.invitation) if waited.invitation else None
    if kept is not None:
        used = msgspec.structs.replace(kept, used=waited.asked.digest)
        path = _mine(fleet) / f"{waited.invitation}.json"
        durable.replace(path, msgspec.json.encode(used) + b"\n", mode=0o600)


def _mine(fleet: OwnedFleet) -> Path:
    return fleet.folder / ENROLMENT / "invitations"
