"""The reviewers' signatures on a policy, and the days on which it holds.

A signed policy is a C2SP signed note whose text is the TOML, byte for byte. Its first line tells it from any
other text that a reviewer may ever sign. A policy is known by the SHA-256 of that text: `sha256sum` of the
TOML file that was signed prints the same.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from covey.errors import ConfigError, InputError, PlanRefused, ProtocolError
from covey.ledger.note import COSIGNATURE, Verifier, holders, parse
from covey.policy import reading
from covey.policy.terms import Policy

MAX_BYTES: Final = 1 << 16
"""Of the note: the text and its signatures."""


@dataclass(frozen=True)
class Reviewers:
    """Whose signatures make a policy.

    Attributes:
        keys: The reviewers' public keys, from a place that the operator cannot write to.
        threshold: So many different ones must have signed; 2 is the two-person rule.

    Raises:
        InputError: No key, one key twice, a witness's key, or a threshold that cannot be reached.
    """

    keys: tuple[Verifier, ...]
    threshold: int = 1

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise InputError(fault, hint="give each reviewer's own key once, and a threshold they can reach")

    def _faults(self) -> Iterator[str]:
        # One key under two names would count as two people.
        if len({each.key for each in self.keys}) != len(self.keys):
            yield "one key stands for two reviewers"
        if any(each.algorithm == COSIGNATURE for each in self.keys):
            yield "a witness's key cannot sign a policy"
        if not 1 <= self.threshold <= len(self.keys):
            yield f"{self.threshold} signatures of {len(self.keys)} reviewers"


@dataclass(frozen=True)
class Opened:
    """A policy that was verified.

    Attributes:
        policy: What it says.
        text: The TOML as signed.
        sha256: Of the text's bytes, hexadecimal: what plans and entries call the policy.
        signers: The reviewers whose signatures hold, each once.
    """

    policy: Policy
    text: str
    sha256: str
    signers: tuple[Verifier, ...]


def open_policy(data: bytes, reviewers: Reviewers, *, blame: str) -> Opened:
    """Verify a signed policy. Nothing of it is read before enough signatures held.

    Whether it holds today is `check_current`'s; whether it is the newest, its serial tells who kept the last.

    Args:
        data: The signed note.
        reviewers: Whose signatures count.
        blame: Who is named if it cannot be used.

    Raises:
        ProtocolError: Too large, malformed, signed by too few different reviewers (as this reader asks, or as
            the policy itself does), or with a reviewer's signature that does not hold; or no policy at all.
    """
    if len(data) > MAX_BYTES:
        raise ProtocolError(f"a policy of {len(data)} bytes, at most {MAX_BYTES}", blame=blame)
    note = parse(data, blame=blame)
    signers = holders(note, reviewers.keys, blame=blame)
    _check_count(signers, reviewers.threshold, blame)
    try:
        policy = reading.parse(note.text, "the signed policy")
    except ConfigError as error:
        raise ProtocolError(error.message, blame=blame, hint=error.hint) from error
    _check_count(signers, policy.signatures, blame)
    return Opened(policy, note.text, digest(note.text), signers)


def digest(text: str) -> str:
    """What a policy is known by: SHA-256 of its text as signed (UTF-8), hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_current(policy: Policy, now: int) -> None:
    """Refuse a policy before its first day and after its last, both in UTC.

    Args:
        policy: A verified one.
        now: Unix time, seconds.

    Raises:
        PlanRefused: Says which.
    """
    if now < policy.valid_from.seconds:
        raise PlanRefused(
            f"policy {policy.name} holds from {policy.valid_from.text} on",
            hint="wait for that day, or check the device's clock",
        )
    if now > policy.valid_until.last_second:
        raise PlanRefused(
            f"policy {policy.name} held until {policy.valid_until.text}",
            hint="ask the reviewers for a newer policy, or check the device's clock",
        )


def _check_count(signers: tuple[Verifier, ...], needed: int, blame: str) -> None:
    if len(signers) < needed:
        by = ", ".join(each.name for each in signers)
        few = f"{len(signers)} of the reviewers it needs {needed} of ({by})"
        raise ProtocolError(
            f"a policy signed by {few if by else f'none of the reviewers named; it needs {needed}'}",
            blame=blame,
            hint="check whose keys are trusted, or have it signed: covey policy sign",
        )
