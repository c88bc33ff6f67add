"""What one session stands on: the plan, its hash, and the statements that its parties sign."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from covey import plan as plans
from covey.fields import fields
from covey.plan import Plan, Suite
from covey.secagg import graph
from covey.secagg.keys import derive
from covey.secagg.masks import Mask
from covey.secagg.messages import MEMBER, OVERHEAD


@dataclass(frozen=True)
class Terms:
    """A plan that both sides mask by.

    Attributes:
        plan: Decoded; its masks are on.
        digest: H(plan), 32 bytes, of the plan as sent; not of its envelope.
    """

    plan: Plan
    digest: bytes

    @classmethod
    def of(cls, sent: bytes) -> "Terms":
        """Of a plan as sent.

        Raises:
            ProtocolError: It is malformed or inconsistent.
        """
        return cls(plans.from_bytes(sent), bytes.fromhex(plans.digest(sent)))

    @property
    def suite(self) -> Suite:
        """How answers are masked."""
        if self.plan.suite is None:
            raise TypeError("a session of a plan without masks")
        return self.plan.suite

    @property
    def complete(self) -> bool:
        """Whether every device checks every other: the malicious-server profile."""
        return self.suite.profile == "malicious-server"

    def threshold(self, size: int) -> int:
        """T = q: shares that open a secret, and votes that open the sum, among |U1| = `size`."""
        return self.suite.threshold or graph.quorum(size, self.plan.corrupt)

    @property
    def limit(self) -> int:
        """Bytes of any message of the session but a vector's, at most: each tells about known members."""
        return OVERHEAD + MEMBER * (1 + (self.suite.neighbours or self.plan.cohort))

    def neighbours(self, size: int, root: bytes, position: int) -> tuple[int, ...]:
        """Whom the member at `position` shares masks with, in order.

        On a sparse graph the seed is a hash over all signed adverts: no one party chooses it.
        """
        if self.complete:
            return tuple(other for other in range(size) if other != position)
        return self.graph(size, root).neighbours(position)

    def graph(self, size: int, root: bytes) -> graph.Graph:
        """The sparse graph of the semi-honest-server profile."""
        seed = hashlib.sha256(fields("graph", self.digest, root)).digest()
        return graph.harary(size, self.suite.neighbours, seed)

    def derive(self, secret: bytes, purpose: str, *bound: bytes | str | int) -> bytes:
        """A key of this session."""
        return derive(secret, self.digest, purpose, self.plan.run, self.plan.sum, *bound)

    def self_mask(self, seed: bytes) -> bytes:
        """Key of a self mask from b."""
        return self.derive(seed, "self-mask")

    def pair_mask(self, shared: bytes, own: tuple[int, bytes], other: tuple[int, bytes]) -> Mask:
        """The mask that `own` adds for the pair; the other adds its negative.

        Args:
            shared: Their X25519 secret.
            own: Position and mask key.
            other: Likewise.
        """
        first, second = sorted([own, other])
        key = self.derive(shared, "pair-mask", first[0], second[0], first[1], second[1])
        return Mask(key, 1 if own < other else -1)


def set_digest(root: bytes, positions: Iterable[int]) -> bytes:
    """Of a set of members, bound to U1 by its root."""
    return hashlib.sha256(
        fields("covey/v1/set", root, b"".join(place.to_bytes(4, "big") for place in positions))
    ).digest()


def input_statement(terms: Terms, root: bytes, u2: bytes, vector: bytes) -> bytes:
    """Signed with a masked input, kind "mi": for this plan, U1 and U2 this vector, by their hashes."""
    return fields(terms.digest, root, u2, vector)


def vote_statement(terms: Terms, root: bytes, u2: bytes, u3: bytes) -> bytes:
    """Signed in the consistency round, kind "cc": these sets, by their hashes."""
    return fields(terms.digest, root, u2, u3)


def deal_statement(
    terms: Terms, root: bytes, ends: tuple[int, int], box: bytes, commitments: tuple[bytes, bytes]
) -> bytes:
    """Signed with dealt shares, kind "deal": (dealer, receiver), the box, commitments to the shares in it.

    The box is signed so that one that does not open is known to be its dealer's.
    """
    return fields(terms.digest, root, *ends, hashlib.sha256(box).digest(), *commitments)
