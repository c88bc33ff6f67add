"""Where invited devices' requests wait on the server: files in the operator's folder.

invitations/HASH.json   whom an invitation is for, and until when; from the owner
invitations/HASH.used   the request that used it: an invitation lets one request in
pending/HASH.json       requests that wait for the owner, by their hash
admitted/HASH.json      the owner's answers
refused/HASH            requests that the owner refused

Nothing is kept for whoever has no invitation, and so many requests wait at most: a flood has no disk to fill.
"""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from covey.enrolment import MAX_ADMISSION_BYTES, Asked, decode, read_request
from covey.errors import InputError, ProtocolError, StateError
from covey.invitation import Anchors, Invitation, Submission, Waiting
from covey_io import durable
from covey_io.lock import held

MOST_PENDING: Final = 256
_HASH_CHARS: Final = 64


@dataclass(frozen=True)
class Answer:
    """What a caller is told.

    Attributes:
        status: 200 admitted, 202 waits, 400 malformed, 403 no invitation, 404 unknown, 410 refused, 503 full.
        body: An admission, or a line of words.
        said: For the server's owner; empty for nothing. No secret is in it.
    """

    status: HTTPStatus
    body: bytes
    said: str = ""


@dataclass(frozen=True)
class EnrolmentDesk:
    """Takes requests and hands out answers.

    Attributes:
        folder: The operator's; `pending` and `invitations` in it are written.
        most: So many requests may wait.
    """

    folder: Path
    most: int = MOST_PENDING

    def anchors(self) -> bytes:
        """The fleet's keys as anybody may know them, JSON; a device compares them with its token.

        Raises:
            InputError: They are not in the folder.
        """
        try:
            enrolment = (self.folder / "enrolment.pub").read_text("ascii").strip()
            ca = x509.load_pem_x509_certificate((self.folder / "ca.crt").read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.folder} holds no enrolment.pub and ca.crt: {type(error).__name__}",
                hint="name the folder that `covey fleet init` made for the server",
            ) from error
        return msgspec.json.encode(Anchors(enrolment=enrolment, ca=ca.public_bytes(Encoding.DER))) + b"\n"

    def submit(self, data: bytes, now: int) -> Answer:
        """Take a device's request, if it has an invitation.

        Args:
            data: A `covey.invitation.Submission`, JSON.
            now: Unix time, seconds.
        """
        try:
            submission = decode(data, Submission, "device")
        except ProtocolError:
            return _words(HTTPStatus.BAD_REQUEST, "this is no request: update covey on the device")
        gate = bytes.fromhex(submission.gate)
        name = hashlib.sha256(gate).hexdigest()
        invitation = self._invitation(name, gate)
        if invitation is None:
            return _words(HTTPStatus.FORBIDDEN, "no such invitation: ask the fleet's owner for another")
        try:
            asked = read_request(submission.request.encode())
        except (ProtocolError, UnicodeError):
            return _words(HTTPStatus.BAD_REQUEST, "this request cannot be used: update covey on the device")
        with held(self.folder / "invitations", None):
            return self._take(submission, asked, name, invitation, now)

    def answer(self, digest: str) -> Answer:
        """What became of a request.

        Args:
            digest: Its SHA-256, hexadecimal.
        """
        if len(digest) != _HASH_CHARS or not all(char in "0123456789abcdef" for char in digest):
            return _words(HTTPStatus.NOT_FOUND, "no such request")
        admitted = _read(self.folder / "admitted" / f"{digest}.json")
        if admitted is not None:
            return Answer(HTTPStatus.OK, admitted)
        if (self.folder / "refused" / digest).exists():
            return _words(HTTPStatus.GONE, "the fleet's owner refused this request")
        if (self.folder / "pending" / f"{digest}.json").exists():
            return _words(HTTPStatus.ACCEPTED, "waiting for the fleet's owner")
        return _words(HTTPStatus.NOT_FOUND, "no such request")

    def _invitation(self, name: str, gate: bytes) -> Invitation | None:
        """By the hash of its gate: what is looked up and compared tells nothing of another gate."""
        data = _read(self.folder / "invitations" / f"{name}.json")
        if data is None or not hmac.compare_digest(hashlib.sha256(gate).hexdigest(), name):
            return None
        try:
            return msgspec.json.decode(data, type=Invitation)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            path = self.folder / "invitations" / f"{name}.json"
            raise StateError(f"{path} is damaged", hint="invite the device anew") from error

    def _take(
        self, submission: Submission, asked: Asked, name: str, invitation: Invitation, now: int
    ) -> Answer:
        for why in self._refusals(asked, name, invitation, now):
            return _words(HTTPStatus.FORBIDDEN, why)
        known = self.answer(asked.digest)
        if known.status != HTTPStatus.NOT_FOUND:
            return known
        pending = self.folder / "pending"
        if sum(1 for _ in pending.glob("*.json")) >= self.most:
            return _words(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests wait: try again later")
        waiting = Waiting(request=submission.request, invitation=name, proof=submission.proof)
        durable.make_folder(pending)
        durable.replace(self._used(name), asked.digest.encode() + b"\n")
        durable.replace(pending / f"{asked.digest}.json", msgspec.json.encode(waiting) + b"\n")
        said = f"{asked.request.device} asks to be admitted: {asked.fingerprint}"
        return Answer(HTTPStatus.ACCEPTED, b"waiting for the fleet's owner\n", said)

    def _refusals(self, asked: Asked, name: str, invitation: Invitation, now: int) -> Iterator[str]:
        used = _read(self._used(name))
        if used is not None and used.strip() != asked.digest.encode():
            yield "this invitation was used: ask the fleet's owner for another"
        if used is None and now > invitation.expires:
            yield "this invitation has expired: ask the fleet's owner for another"
        if invitation.device not in {"", asked.request.device}:
            yield "this invitation is for a device of another name"

    def _used(self, name: str) -> Path:
        return self.folder / "invitations" / f"{name}.used"


def _words(status: HTTPStatus, words: str) -> Answer:
    said = f"refused ({int(status)}): {words}" if status == HTTPStatus.FORBIDDEN else ""
    return Answer(status, f"{words}\n".encode(), said)


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_ADMISSION_BYTES)
    except FileNotFoundError:
        return None
