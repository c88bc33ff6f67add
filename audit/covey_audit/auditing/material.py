"""What is audited, and what the reader trusts beforehand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from covey.policy.signed import Reviewers

Asked = Literal["file", "folder", "address"]
"""How a witness's checkpoint was got."""
Find = Callable[[str], bytes | None]
"""A file by a digest; None where it is not here."""


def _nothing(_: str) -> None:
    return None


@dataclass(frozen=True)
class Material:
    """A ledger as it was handed over. Nothing in it is believed.

    Attributes:
        source: What the reader calls it.
        lines: The entries, a line each, without newlines.
        torn: What stands after the last newline.
        checkpoint: The newest signed head; None if there is none.
        evidence: Of a sum, by its plan's digest.
        roster: By its SHA-256.
        participants: Leaves of a sum, by its plan's digest.
        evidence_of: The plans that evidence is there of.
    """

    source: str
    lines: Sequence[bytes]
    torn: bytes = b""
    checkpoint: bytes | None = None
    evidence: Find = _nothing
    roster: Find = _nothing
    participants: Find = _nothing
    evidence_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Anchors:
    """What the reader has from elsewhere: from reviewers, the fleet's owner, a witness, not the operator.

    Attributes:
        reviewers: Whose signatures make a policy; None if the reader knows none.
        policy: The signed policy that the reader holds; None for none.
        enrolment: Public key that certifies devices, 32 bytes; None to take the policy's.
        witnessed: The latest cosigned checkpoint, as a witness gave it; None for none.
        asked: Where that one was read: a file with it, a witness's folder, or at a witness's address.
        previous: A checkpoint that the reader kept from before; None for none.
        now: Unix time, seconds; 0 for not known.
        borrowed: Policy and checkpoint are a run's own after all: a self-check, which makes nothing certain.
    """

    reviewers: Reviewers | None = None
    policy: bytes | None = None
    enrolment: bytes | None = None
    witnessed: bytes | None = None
    asked: Asked = "file"
    previous: bytes | None = None
    now: int = 0
    borrowed: bool = False

    @property
    def own(self) -> bool:
        """Whether anything says which policy is the right one."""
        return self.reviewers is not None or self.policy is not None
