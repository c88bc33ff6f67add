"""The fleet owner's book, `enrolment/members.json`: who was admitted, who left, and the roster that follows.

A device's name is its identity in roster, ledger and budget: it is never changed and never given away again.
What it is called on a screen, and its labels, are the owner's notes and appear nowhere else.
"""

from typing import Annotated, Final

import msgspec

from covey.enrolment import Asked, DeviceName, Hash
from covey.errors import InputError
from covey.identity import Certificate, Roster, Seconds

MOST_LABELS: Final = 32
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z")]


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A device that was admitted.

    Attributes:
        device: Its name, for ever.
        identity: Its Ed25519 public key, hexadecimal.
        node: Its SuperNode's public key, as OpenSSH writes it.
        tls: Its certificate's public key (SubjectPublicKeyInfo, DER).
        request: SHA-256 of its request.
        admitted: Unix time, seconds.
        revoked: Unix time, seconds; None while it is in the fleet.
        shown: What people call it; empty for its name.
        labels: The owner's notes.
    """

    device: DeviceName
    identity: Hash
    node: str
    tls: bytes
    request: Hash
    admitted: Seconds
    revoked: Seconds | None = None
    shown: _Word | None = None
    labels: dict[_Word, _Word] = {}


class Members(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everybody, and the newest roster's serial. Every change of the roster has a larger one.

    Attributes:
        serial: Of the newest roster.
        expires: Its last second, unix time.
        members: Sorted by name.
    """

    serial: Seconds
    expires: Seconds
    members: tuple[Member, ...] = ()

    def find(self, device: str) -> Member:
        """A member by name.

        Raises:
            InputError: Nobody is called so.
        """
        for member in self.members:
            if member.device == device:
                return member
        raise InputError(f"no device {device!r} was admitted", hint="see covey fleet list DIR")

    def admitted(self, asked: Asked, now: int) -> "Members":
        """With one more, in a roster that is still to get its serial; the same if it was admitted already.

        Raises:
            InputError: Its name or one of its keys was given before.
        """
        device = asked.request.device
        if any(each.request == asked.digest and each.revoked is None for each in self.members):
            return self
        self._check_free(asked)
        made = Member(
            device=device,
            identity=asked.identity.hex(),
            node=asked.request.node,
            tls=asked.tls,
            request=asked.digest,
            admitted=now,
        )
        return self._with((*self.members, made))

    def _check_free(self, asked: Asked) -> None:
        for each in self.members:
            if each.device == asked.request.device:
                gone = "was revoked" if each.revoked is not None else "is in the fleet"
                raise InputError(
                    f"a device {each.device!r} {gone}: a name is never given twice",
                    hint="let the new one ask under another: covey device request --name NAME --keys NEW",
                )
            taken = {"identity": each.identity, "SuperNode's": each.node, "TLS": each.tls}
            given = {
                "identity": asked.identity.hex(),
                "SuperNode's": asked.request.node,
                "TLS": asked.tls,
            }
            for what, key in taken.items():
                if key == given[what]:
                    raise InputError(
                        f"the {what} key of {asked.request.device!r} was admitted with {each.device!r}",
                        hint="a copied disk? let it make keys of its own in another folder",
                    )

    def revoked(self, device: str, now: int) -> "Members":
        """Without one; the same if it is gone already.

        Raises:
            InputError: Nobody is called so.
        """
        member = self.find(device)
        if member.revoked is not None:
            return self
        return self._changed(msgspec.structs.replace(member, revoked=now))

    def called(self, device: str, shown: str) -> "Members":
        """With another display name for one; empty takes it away.

        Raises:
            InputError: Nobody is called so, or it cannot be shown.
        """
        return self._changed(msgspec.structs.replace(self.find(device), shown=shown or None))

    def labelled(self, device: str, changes: dict[str, str | None]) -> "Members":
        """With other labels for one; None takes a label away.

        Raises:
            InputError: Nobody is called so, or too many or unusable labels.
        """
        member = self.find(device)
        merged = {**member.labels, **changes}
        labels = {key: value for key, value in sorted(merged.items()) if value is not None}
        if len(labels) > MOST_LABELS:
            raise InputError(
                f"more than {MOST_LABELS} labels", hint="take some away: covey fleet label DIR NAME key-"
            )
        return self._changed(msgspec.structs.replace(member, labels=labels))

    def next_roster(self, expires: int) -> "Members":
        """With the next serial."""
        return msgspec.structs.replace(self, serial=self.serial + 1, expires=expires)

    @property
    def present(self) -> tuple[Member, ...]:
        """Who is in the fleet."""
        return tuple(each for each in self.members if each.revoked is None)

    def roster(self, fleet: str) -> Roster:
        """What is signed: who is in the fleet, until when."""
        certificates = tuple(
            Certificate(each.device, bytes.fromhex(each.identity), self.expires) for each in self.present
        )
        return Roster(fleet, self.serial, self.expires, False, certificates)

    def _changed(self, member: Member) -> "Members":
        others = (each for each in self.members if each.device != member.device)
        return self._with((*others, member))

    def _with(self, members: tuple[Member, ...]) -> "Members":
        made = msgspec.structs.replace(self, members=tuple(sorted(members, key=_device)))
        try:
            return msgspec.convert(msgspec.to_builtins(made), Members)
        except msgspec.ValidationError as error:
            raise InputError(
                f"this cannot be written down: {error}", hint="use up to 64 printable characters"
            ) from error


def encode(members: Members) -> bytes:
    """`members.json`."""
    return msgspec.json.format(msgspec.json.encode(members), indent=2) + b"\n"


def decode(data: bytes) -> Members:
    """What `encode` wrote.

    Raises:
        ValueError: It did not.
    """
    try:
        return msgspec.json.decode(data, type=Members)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error


def _device(member: Member) -> str:
    return member.device
