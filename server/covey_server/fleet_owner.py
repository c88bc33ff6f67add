"""The fleet owner's folder: admits devices, revokes them, and signs the roster that follows.

enrolment/enrolment.key   Ed25519, signs rosters and admissions
enrolment/ca.key, ca.crt  the certificate authority of server and devices
enrolment/fleet.json      what every device is told: operator, reviewers, server
enrolment/members.json    who was admitted, and who left; see `covey_server.fleet_members`
operator/roster           the newest roster, as it was signed: for the server
operator/nodes/NAME.pub   each device's SuperNode key: for the server
operator/admitted/HASH.json   admissions, by their request: for the server, which hands them to the devices

A change is written down before the roster that follows from it, so that no serial is ever signed twice; after
a crash, the next change writes whatever was missing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from covey.enrolment import Admission, Asked, Hash, Url, sign_admission
from covey.errors import InputError, StateError
from covey.identity import sign_roster
from covey_io import durable
from covey_io.lock import held
from covey_server import fleet_members
from covey_server.fleet_ca import Authority, read_certificate
from covey_server.fleet_members import Member, Members
from covey_server.key_files import Passphrase, read_ed25519, read_p256

DAY: Final = 24 * 3600
ENROLMENT: Final = "enrolment"
OPERATOR: Final = "operator"
_HINT: Final = "name the folder that `covey fleet init` made"


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`fleet.json`.

    Attributes:
        fleet: The fleet's name.
        operator: Public key that signs plans, hexadecimal.
        reviewers: Who sign policies, a key each.
        threshold: So many of them must have signed.
        server: Where devices find the server.
        hosts: What the server's certificate is for.
        days: A roster holds so long.
    """

    fleet: str
    operator: Hash
    reviewers: tuple[str, ...]
    threshold: int
    server: Url
    hosts: tuple[str, ...]
    days: Annotated[int, msgspec.Meta(ge=1, le=3650)]


@dataclass(frozen=True)
class OwnerKeys:
    """What only the owner has.

    Attributes:
        enrolment: Ed25519 private key, 32 bytes. Not shown when printed.
        authority: The certificate authority.
    """

    enrolment: bytes = field(repr=False)
    authority: Authority


@dataclass(frozen=True)
class OwnedFleet:
    """A fleet on its owner's disk.

    Attributes:
        folder: As `covey fleet init` made it.
        about: What devices are told.
    """

    folder: Path
    about: About

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The fleet in a folder.

        Raises:
            InputError: There is none.
            StateError: Its description is damaged.
        """
        path = folder / ENROLMENT / "fleet.json"
        try:
            return cls(folder, msgspec.json.decode(path.read_bytes(), type=About))
        except OSError as error:
            raise InputError(f"{path}: {type(error).__name__}", hint=_HINT) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(f"{path} is damaged: {error}", hint="put it back as it was") from error

    @property
    def operator(self) -> Path:
        """What goes to the server's host."""
        return self.folder / OPERATOR

    def members(self) -> Members:
        """Who was admitted.

        Raises:
            StateError: The book is damaged.
        """
        path = self._book
        try:
            return fleet_members.decode(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StateError(f"{path} is damaged: {error}", hint="put it back as it was") from error

    def keys(self, secret: Passphrase) -> OwnerKeys:
        """The owner's keys.

        Args:
            secret: Asked if they are encrypted.

        Raises:
            InputError: They are not there, or the passphrase is wrong.
        """
        where = self.folder / ENROLMENT
        enrolment = read_ed25519(where / "enrolment.key", secret)
        key = read_p256(where / "ca.key", secret)
        return OwnerKeys(enrolment.private_bytes_raw(), Authority(key, read_certificate(where / "ca.crt")))

    def enrolment_key(self) -> bytes:
        """The public key that certifies devices, 32 bytes.

        Raises:
            InputError: It is not there.
        """
        path = self.folder / ENROLMENT / "enrolment.pub"
        try:
            return bytes.fromhex(path.read_text("ascii").strip())
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: {type(error).__name__}", hint=_HINT) from error

    def authority_der(self) -> bytes:
        """The certificate authority's certificate (DER).

        Raises:
            InputError: It is not there.
        """
        return read_certificate(self.folder / ENROLMENT / "ca.crt").public_bytes(Encoding.DER)

    def admit(self, keys: OwnerKeys, asked: Sequence[Asked], now: int) -> tuple[bytes, ...]:
        """Admit devices, in one roster.

        Args:
            keys: The owner's.
            asked: Their requests. One that was admitted already is answered again.
            now: Unix time, seconds.

        Returns:
            An admission for each, as it is sent.

        Raises:
            InputError: A name or a key was given before; nothing is changed then.
        """
        with self._changing():
            before = self.members()
            members = before
            for each in asked:
                members = members.admitted(each, now)
            self._publish(keys, before, members, now)
            answering = [members.find(each.request.device) for each in asked]
            return tuple(self._answer(keys, each, now) for each in answering)

    def revoke(self, keys: OwnerKeys, devices: Sequence[str], now: int) -> Members:
        """Take devices out of the roster, for ever.

        Raises:
            InputError: One was never admitted; nothing is changed then.
        """
        with self._changing():
            before = self.members()
            members = before
            for device in devices:
                members = members.revoked(device, now)
            return self._publish(keys, before, members, now)

    def renew(self, keys: OwnerKeys, now: int, days: int) -> Members:
        """Sign a roster of the same devices that holds longer, a certificate for the server, each admission.

        Devices fetch their admission by themselves: with it a certificate, and where the server is.

        Args:
            keys: The owner's.
            now: Unix time, seconds.
            days: Both hold so long.

        Raises:
            InputError: The server's certificate is not in the folder.
        """
        with self._changing():
            until = now + days * DAY
            members = self._written(keys, self.members().next_roster(until))
            self.certify_server(keys, now, until)
            for each in members.present:
                self._answer(keys, each, now)
            return members

    def certify_server(self, keys: OwnerKeys, now: int, until: int) -> None:
        """Write `operator/tls.crt` anew, for the key that it is for and the hosts that are known.

        Raises:
            InputError: It is not there, or of no such key.
        """
        path = self.operator / "tls.crt"
        key = read_certificate(path).public_key()
        if not isinstance(key, EllipticCurvePublicKey):
            raise InputError(f"{path} is not of an ECDSA key", hint="put back the one that was made")
        durable.replace(path, keys.authority.server(key, self.about.hosts, now, until))

    def note(self, change: Callable[[Members], Members]) -> Members:
        """Change what the owner calls devices: the roster stays as it is.

        Raises:
            InputError: As `change` has it.
        """
        with self._changing():
            members = change(self.members())
            durable.replace(self._book, fleet_members.encode(members))
            return members

    def tell(self, server: str | None, hosts: Sequence[str]) -> "OwnedFleet":
        """The fleet, whose devices are told another server from now on, or whose server has other names."""
        about = msgspec.structs.replace(
            self.about,
            server=self.about.server if server is None else server,
            hosts=tuple(hosts) or self.about.hosts,
        )
        write_about(self.folder, about)
        return OwnedFleet(self.folder, about)

    def _publish(self, keys: OwnerKeys, before: Members, members: Members, now: int) -> Members:
        """The roster of changed members; of the same, only what a crash may have left unwritten."""
        if members.members != before.members or not before.serial:
            members = members.next_roster(max(before.expires, now + self.about.days * DAY))
        return self._written(keys, members)

    def _written(self, keys: OwnerKeys, members: Members) -> Members:
        signed = sign_roster(members.roster(self.about.fleet), keys.enrolment)
        durable.make_folder(self.operator / "nodes", mode=0o755)
        durable.replace(self._book, fleet_members.encode(members))
        durable.replace(self.operator / "roster", signed)
        _write_nodes(self.operator / "nodes", members.present)
        return members

    def _answer(self, keys: OwnerKeys, member: Member, now: int) -> bytes:
        """A member's admission, where the server hands it out."""
        admission = Admission(
            fleet=self.about.fleet,
            device=member.device,
            request=member.request,
            operator=self.about.operator,
            reviewers=self.about.reviewers,
            threshold=self.about.threshold,
            ca=keys.authority.der,
            certificate=keys.authority.client(member.device, member.tls, now),
            server=self.about.server,
        )
        answer = sign_admission(admission, keys.enrolment)
        durable.make_folder(self.operator / "admitted")
        durable.replace(self.operator / "admitted" / f"{member.request}.json", answer)
        return answer

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with held(self.folder / ENROLMENT, None):
            yield

    @property
    def _book(self) -> Path:
        return self.folder / ENROLMENT / "members.json"


def write_about(folder: Path, about: About) -> None:
    """Write `fleet.json`."""
    data = msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n"
    durable.replace(folder / ENROLMENT / "fleet.json", data)


def new_book(folder: Path) -> None:
    """Write `members.json` of a fleet that has no roster yet."""
    durable.replace(folder / ENROLMENT / "members.json", fleet_members.encode(Members(serial=0, expires=0)))


def _write_nodes(folder: Path, members: Sequence[Member]) -> None:
    wanted = {f"{each.device}.pub": f"{each.node} {each.device}\n".encode() for each in members}
    for path in folder.glob("*.pub"):
        if path.name not in wanted:
            path.unlink()
    for name, line in wanted.items():
        if not (folder / name).exists() or (folder / name).read_bytes() != line:
            durable.replace(folder / name, line)
    durable.sync_folder(folder)
