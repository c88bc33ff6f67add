"""U1 as one device sees it: whom it shares masks with, after every check it can make."""

import hmac
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from covey import merkle
from covey.errors import MemoryRestored, ProtocolError
from covey.identity import Roster, verify
from covey.secagg.keys import check_public
from covey.secagg.messages import Advert, Advertised, Cohort, Entry, Hash, Key, Position, decode, encode
from covey.secagg.terms import Terms

ADVERT_BYTES: Final = 512


class Peer(msgspec.Struct, frozen=True, array_like=True):
    """A member that this device shares masks with.

    Attributes:
        position: Place in U1.
        device: Its name.
        identity: Its public key from the roster.
        seal_key: From its advert.
        mask_key: From its advert.
    """

    position: Position
    device: str
    identity: Key
    seal_key: Key
    mask_key: Key


class Neighbourhood(msgspec.Struct, frozen=True, array_like=True):
    """U1 as far as one device needs it.

    Attributes:
        size: |U1|.
        root: Over all adverts.
        position: The device's own.
        peers: Whom it shares masks with, in order.
    """

    size: Position
    root: Hash
    position: Position
    peers: tuple[Peer, ...]

    def peer(self, position: int) -> Peer:
        """The peer at a position.

        Raises:
            ProtocolError: There is none.
        """
        for peer in self.peers:
            if peer.position == position:
                return peer
        raise ProtocolError(f"member {position} is no neighbour", blame="server")


def read_advert(advertised: Advertised, terms: Terms, roster: Roster, now: int, *, blame: str) -> Advert:
    """An advert that is for this plan, signed by a device of the roster, and has keys that agree on secrets.

    Raises:
        ProtocolError: It is not.
    """
    advert = decode(advertised.body, Advert, blame=blame, limit=ADVERT_BYTES)
    if not hmac.compare_digest(advert.plan, terms.digest):
        raise ProtocolError(f"{blame}: an advert for another plan", blame=blame)
    identity = roster.key_of(advert.device, now, blame=blame)
    verify(identity, "advert", advertised.body, advertised.signature, blame=blame)
    check_public(advert.seal_key, blame=blame)
    check_public(advert.mask_key, blame=blame)
    return advert


def leaf(advertised: Advertised) -> bytes:
    """What stands for a member in the tree over U1: its advert with its signature."""
    return encode(advertised)


def check_distinct(adverts: Sequence[Advert], *, blame: str) -> None:
    """Refuse members that share a key, and any order but by name: one device could stand for two.

    Raises:
        ProtocolError: They do, or are.
    """
    names = [advert.device for advert in adverts]
    if any(first >= second for first, second in pairwise(names)):
        raise ProtocolError("members out of order, or one twice", blame=blame)
    keys = [key for advert in adverts for key in (advert.seal_key, advert.mask_key, advert.commitment)]
    if len(set(keys)) != len(keys):
        raise ProtocolError("two members with one key", blame=blame)


def read_cohort(cohort: Cohort, terms: Terms, roster: Roster, own: Advertised, now: int) -> Neighbourhood:
    """The device's view of U1.

    Args:
        cohort: As received.
        terms: The session.
        roster: That the plan names.
        own: What this device advertised.
        now: Unix time, seconds.

    Raises:
        ProtocolError: The set is too small or too large, not in order, holds an advert that is not its
            member's, or not this device's own. Blames the server.
    """
    _check_size(cohort, terms)
    adverts = [read_advert(entry.advert, terms, roster, now, blame="server") for entry in cohort.entries]
    check_distinct(adverts, blame="server")
    if terms.complete:
        _check_whole(cohort)
    else:
        _check_paths(cohort)
    if [entry.advert for entry in cohort.entries if entry.position == cohort.position] != [own]:
        raise ProtocolError("this device's own advert is missing or changed", blame="server")
    peers = tuple(
        _peer(entry, advert, roster, now)
        for entry, advert in zip(cohort.entries, adverts, strict=True)
        if entry.position != cohort.position
    )
    if tuple(peer.position for peer in peers) != terms.neighbours(cohort.size, cohort.root, cohort.position):
        raise ProtocolError("not the neighbours that the graph gives", blame="server")
    return Neighbourhood(cohort.size, cohort.root, cohort.position, peers)


def check_memory(before: Advertised | None, own: Advertised, identity: bytes) -> None:
    """Refuse to go on with a memory that is older than what this device has signed.

    Each advert counts the plans that its device has reserved budget for; on a disk that was restored, or in
    one of two clones, the count starts again from where it was. This finds it where the server shows the
    device what it has signed before; a server that hides it is found out by evidence, where the same count
    stands twice.

    Args:
        before: The advert with the greatest count that the server has on record.
        own: What this device advertised for this plan.
        identity: Its public key.

    Raises:
        MemoryRestored: It has signed that count, or a greater one, before.
        ProtocolError: What is shown is not this device's, or is what it has just sent: any server has that,
            and could lock every device with it.
    """
    if before is None:
        return
    if before.body == own.body:
        raise ProtocolError("this device's own advert is shown as an earlier one", blame="server")
    verify(identity, "advert", before.body, before.signature, blame="server")
    earlier, now = (decode(each.body, Advert, blame="server", limit=ADVERT_BYTES) for each in (before, own))
    if earlier.counter >= now.counter:
        raise MemoryRestored(
            f"this device has signed answer {earlier.counter} of its life, its memory counts {now.counter}"
        )


def _peer(entry: Entry, advert: Advert, roster: Roster, now: int) -> Peer:
    identity = roster.key_of(advert.device, now)
    return Peer(entry.position, advert.device, identity, advert.seal_key, advert.mask_key)


def _check_size(cohort: Cohort, terms: Terms) -> None:
    """Before any signature is: a device checks no more of them than it has neighbours."""
    plan, size = terms.plan, cohort.size
    if not max(plan.minimum, terms.threshold(size), plan.corrupt + 2) <= size <= plan.cohort:
        raise ProtocolError(
            f"{size} devices advertised, the minimum is {plan.minimum}, the most {plan.cohort}",
            blame="server",
        )
    places = [entry.position for entry in cohort.entries]
    known = size if terms.complete else terms.suite.neighbours + 1
    if len(places) != known or places != sorted(set(places)):
        raise ProtocolError(f"{len(places)} members are shown, not {known} in order", blame="server")


def _check_whole(cohort: Cohort) -> None:
    """All members are shown, and their root is the one that everything later refers to."""
    if [entry.position for entry in cohort.entries] != list(range(cohort.size)):
        raise ProtocolError("not all members are shown", blame="server")
    if merkle.root([leaf(entry.advert) for entry in cohort.entries]) != cohort.root:
        raise ProtocolError("the members are not those of the root", blame="server")


def _check_paths(cohort: Cohort) -> None:
    for entry in cohort.entries:
        place = leaf(entry.advert), entry.position, cohort.size, entry.path, cohort.root
        if not merkle.verify_path(*place):
            raise ProtocolError(f"member {entry.position} is not under the root", blame="server")


def check_set(name: str, members: Sequence[int], within: set[int], own: int) -> None:
    """Refuse a set that is out of order, holds strangers, or lacks this device.

    Raises:
        ProtocolError: Blames the server.
    """
    if list(members) != sorted(set(members)) or not set(members) <= within or own not in members:
        raise ProtocolError(f"{name} is not a set that this device can be in", blame="server")
