"""Evidence of a sum that devices answered although they should not have: all of it signed by their own keys.

Devices that check refuse what a policy does not allow. Those of the cheats were set up without protection, or
belong to the operator; what tells them from others is not in their signatures.
"""

from collections.abc import Callable, Iterable

import msgspec

from covey import merkle
from covey.identity import sign
from covey.secagg.evidence import Evidence, shown_by_server
from covey.secagg.members import leaf
from covey.secagg.messages import Advert, Advertised, InputProof, Vote, decode, encode
from covey.secagg.terms import Terms, input_statement, set_digest, vote_statement

Identity = Callable[[str], bytes]
"""A device's private key, by its name."""


def answered(
    evidence: Evidence, terms: Terms, identity: Identity, dropped: Iterable[int] = (), ahead: int = 0
) -> Evidence:
    """Evidence of an honest sum, as if its devices had answered another plan.

    Args:
        evidence: Of the honest sum.
        terms: The other plan.
        identity: The devices' keys.
        dropped: Positions of devices that sent no vector.
        ahead: By how many answers each device has counted further.
    """
    adverts = tuple(_advertised(each, terms, identity, ahead) for each in evidence.adverts)
    names = [_advert(each, terms).device for each in adverts]
    gone = set(dropped)
    kept = tuple(place for place in evidence.u3 if place not in gone)
    root = merkle.root([leaf(each) for each in adverts])
    u2, u3 = set_digest(root, evidence.u2), set_digest(root, kept)

    def voted(place: int) -> Vote:
        return Vote(place, sign(identity(names[place]), "cc", vote_statement(terms, root, u2, u3)))

    def proved(proof: InputProof) -> InputProof:
        statement = input_statement(terms, root, u2, proof.vector)
        signature = sign(identity(names[proof.position]), "mi", statement)
        return InputProof(proof.position, proof.vector, signature)

    return Evidence(
        adverts=adverts,
        u2=evidence.u2,
        u3=kept,
        inputs=tuple(proved(each) for each in evidence.inputs if each.position not in gone),
        votes=tuple(voted(each) for each in kept[: len(evidence.votes)]),
    )


def leaves(evidence: Evidence, terms: Terms) -> bytes:
    """The file of participation leaves that goes with evidence."""
    found = sorted(shown_by_server(evidence, terms).leaves)
    return b"".join(each.hex().encode() + b"\n" for each in found)


def _advert(advertised: Advertised, terms: Terms) -> Advert:
    return decode(advertised.body, Advert, blame="local", limit=terms.limit)


def _advertised(advertised: Advertised, terms: Terms, identity: Identity, ahead: int) -> Advertised:
    advert = _advert(advertised, terms)
    other = msgspec.structs.replace(advert, plan=terms.digest, counter=advert.counter + ahead)
    body = encode(other)
    return Advertised(body, sign(identity(advert.device), "advert", body))
