"""What shows somebody who was not there who was in a sum: signatures that a server alone can make none of.

The adverts of U1 under the devices' own keys, the positions of U2 and U3, each survivor's signature on its
vector and on the sets it was for, and a quorum's signatures on the three sets. It names devices: it is for a
reviewer, not for the public.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from covey import merkle
from covey.errors import ProtocolError
from covey.identity import Roster, verify
from covey.secagg.graph import Graph
from covey.secagg.members import check_distinct, leaf, read_advert
from covey.secagg.messages import Advert, Advertised, InputProof, Positions, Vote, decode
from covey.secagg.terms import Terms, input_statement, set_digest, vote_statement

MAX_BYTES: Final = 64 << 20


class Evidence(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Of one sum.

    Attributes:
        adverts: Of U1, in order of device names.
        u2: Positions that shared keys.
        u3: Positions in the sum.
        inputs: Each of U3's signature on its vector, kind "mi".
        votes: A quorum's on the sets, kind "cc"; empty in the semi-honest-server profile.
    """

    adverts: Annotated[tuple[Advertised, ...], msgspec.Meta(max_length=1 << 14)]
    u2: Positions
    u3: Positions
    inputs: Annotated[tuple[InputProof, ...], msgspec.Meta(max_length=1 << 14)]
    votes: Annotated[tuple[Vote, ...], msgspec.Meta(max_length=1 << 14)]

    def __repr__(self) -> str:
        return f"<Evidence of {len(self.adverts)}, {len(self.u2)} and {len(self.u3)} members>"


@dataclass(frozen=True)
class Shown:
    """What evidence shows.

    Attributes:
        adverts: Of U1, in order of device names.
        u1: Root over them.
        u2: Digest of U2.
        u3: Digest of U3.
        survivors: Adverts of U3.
    """

    adverts: tuple[Advert, ...]
    u1: bytes
    u2: bytes
    u3: bytes
    survivors: tuple[Advert, ...]

    @property
    def leaves(self) -> tuple[bytes, ...]:
        """Participation leaves of U3."""
        return tuple(advert.leaf for advert in self.survivors)

    @property
    def counters(self) -> Mapping[str, int]:
        """How many plans each of U1 has reserved budget for in its life."""
        return {advert.device: advert.counter for advert in self.adverts}


def to_bytes(evidence: Evidence) -> bytes:
    """As stored (msgpack)."""
    return msgspec.msgpack.encode(evidence)


def from_bytes(data: bytes, *, blame: str) -> Evidence:
    """Read evidence strictly; `show` says whether it shows anything.

    Raises:
        ProtocolError: Too large or malformed.
    """
    return decode(data, Evidence, blame=blame, limit=MAX_BYTES)


def digest(data: bytes) -> str:
    """SHA-256 of evidence as stored, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def shown_by_server(evidence: Evidence, terms: Terms) -> Shown:
    """What evidence says, unchecked: for the server that made it."""
    adverts = tuple(decode(each.body, Advert, blame="local", limit=terms.limit) for each in evidence.adverts)
    return _shown(evidence, adverts)


def show(evidence: Evidence, terms: Terms, roster: Roster, now: int, *, blame: str) -> Shown:
    """Verify every signature, and that the sets nest and are large enough to be opened.

    Args:
        evidence: Of a sum.
        terms: Its plan.
        roster: That the plan names, verified by the caller.
        now: Unix time at which certificates must hold, seconds.
        blame: Who is named.

    Raises:
        ProtocolError: Says what does not hold.
    """
    adverts = tuple(read_advert(each, terms, roster, now, blame=blame) for each in evidence.adverts)
    check_distinct(adverts, blame=blame)
    _check_sets(evidence, terms, blame)
    found = _shown(evidence, adverts)
    identities = [roster.key_of(advert.device, now, blame=blame) for advert in adverts]
    _check_inputs(evidence, found, terms, identities, blame)
    if terms.complete:
        _check_votes(evidence, found, terms, identities, blame)
    return found


def _shown(evidence: Evidence, adverts: tuple[Advert, ...]) -> Shown:
    root = merkle.root([leaf(each) for each in evidence.adverts])
    u2, u3 = set_digest(root, evidence.u2), set_digest(root, evidence.u3)
    return Shown(adverts, root, u2, u3, tuple(adverts[place] for place in evidence.u3))


def _check_sets(evidence: Evidence, terms: Terms, blame: str) -> None:
    everyone = range(len(evidence.adverts))
    for name, inner, outer in (("U2", evidence.u2, everyone), ("U3", evidence.u3, evidence.u2)):
        if list(inner) != sorted(set(inner)) or not set(inner) <= set(outer):
            raise ProtocolError(f"evidence whose {name} is no set of members in order", blame=blame)
    if len(everyone) > terms.plan.cohort:
        raise ProtocolError(
            f"evidence of {len(everyone)} members, {terms.plan.cohort} were asked", blame=blame
        )
    if len(evidence.u3) < terms.plan.minimum:
        raise ProtocolError(
            f"evidence of {len(evidence.u3)} survivors, the plan's minimum is {terms.plan.minimum}",
            blame=blame,
        )


def _check_inputs(
    evidence: Evidence, found: Shown, terms: Terms, identities: list[bytes], blame: str
) -> None:
    if tuple(proof.position for proof in evidence.inputs) != evidence.u3:
        raise ProtocolError("evidence without one signed vector from every survivor", blame=blame)
    drawn = None if terms.complete else terms.graph(len(evidence.adverts), found.u1)
    for proof in evidence.inputs:
        near = found.u2 if drawn is None else set_digest(found.u1, _known(evidence, drawn, proof.position))
        statement = input_statement(terms, found.u1, near, proof.vector)
        verify(identities[proof.position], "mi", statement, proof.signature, blame=blame)


def _known(evidence: Evidence, drawn: Graph, position: int) -> tuple[int, ...]:
    """Of U2, whom the member at `position` knows on a sparse graph: itself and its neighbours, in order."""
    near = {position, *drawn.neighbours(position)}
    return tuple(place for place in evidence.u2 if place in near)


def _check_votes(evidence: Evidence, found: Shown, terms: Terms, identities: list[bytes], blame: str) -> None:
    voters = [vote.position for vote in evidence.votes]
    if len(set(voters)) != len(voters) or not set(voters) <= set(evidence.u3):
        raise ProtocolError("evidence with votes that are repeated or from outside U3", blame=blame)
    if len(voters) < terms.threshold(len(evidence.adverts)):
        raise ProtocolError(f"evidence with {len(voters)} votes: no quorum", blame=blame)
    statement = vote_statement(terms, found.u1, found.u2, found.u3)
    for vote in evidence.votes:
        verify(identities[vote.position], "cc", statement, vote.signature, blame=blame)


def names(evidence: Evidence) -> tuple[str, ...]:
    """Devices of U1, unchecked."""
    return tuple(decode(each.body, Advert, blame="local", limit=1 << 10).device for each in evidence.adverts)
