"""Who approves rollouts: people sign a plan's text as a note, and a rollout starts with enough of them.

approvers.json, beside reviewers.json in the operator's folder and in its form, says whose signatures count
and how many there must be; 2 is the two-person rule. Where it is missing, whoever starts a rollout names the
approvers' keys on the command line, and one of them is enough.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from covey.errors import InputError, ProtocolError
from covey.ledger.note import Signer, countersigned, holders, parse, read_vkey, signed
from covey.policy.signed import Reviewers
from covey.rollout import plan as plans
from covey.rollout.plan import MAX_PLAN_BYTES, RolloutPlan
from covey_io.device_keys import read_reviewers

APPROVERS: Final = "approvers.json"


@dataclass(frozen=True)
class Approved:
    """A plan that enough people approved.

    Attributes:
        plan: What it says.
        note: As they signed it.
        by: The names of their keys.
        sha256: Of its text.
    """

    plan: RolloutPlan
    note: str
    by: tuple[str, ...]
    sha256: str


def read_approvers(operator: Path, named: Sequence[Path]) -> tuple[Reviewers, bool]:
    """Whose approvals count, and whether the fleet says so itself.

    Args:
        operator: The operator's folder; its approvers.json is final where there is one.
        named: Public keys from the command line; they count only where there is none.

    Raises:
        InputError: A file cannot be used, or nobody is named.
    """
    configured = read_reviewers(operator / APPROVERS)
    if configured is not None and named:
        raise InputError(f"{operator / APPROVERS} says who approves", hint="leave out --approver")
    if configured is not None:
        return configured, True
    if not named:
        raise InputError(
            f"nobody is known who could approve: {operator / APPROVERS} is missing",
            hint="write it as reviewers.json is, or name a key: --approver FILE.vkey",
        )
    return Reviewers(tuple(read_vkey(_text(path).strip()) for path in named), 1), False


def approved(data: bytes, approvers: Reviewers) -> Approved:
    """Verify a plan's approvals. Nothing of it is read before enough signatures held.

    Args:
        data: The signed note.
        approvers: Whose signatures count, and how many there must be.

    Raises:
        InputError: Too few have signed, a signature does not hold, or it is no plan.
    """
    try:
        note = parse(data, blame="local")
        signers = holders(note, approvers.keys, blame="local")
        if len(signers) < approvers.threshold:
            raise InputError(
                f"{len(signers)} of the {approvers.threshold} approvers that are needed have signed "
                f"({', '.join(each.name for each in signers) or 'nobody'})",
                hint="covey rollout approve adds a signature",
            )
        plan = plans.from_text(note.text, blame="local")
    except ProtocolError as error:
        raise InputError(error.message, hint="covey rollout plan writes one, approve signs it") from error
    sha256 = hashlib.sha256(note.text.encode()).hexdigest()
    return Approved(plan, data.decode(), tuple(each.name for each in signers), sha256)


def read_plan(data: bytes) -> tuple[RolloutPlan, bool]:
    """A plan, signed or not yet, and whether it is. No signature is checked.

    Raises:
        InputError: Neither.
    """
    if len(data) > MAX_PLAN_BYTES:
        raise InputError(f"{len(data)} bytes are no plan", hint=f"a plan has at most {MAX_PLAN_BYTES}")
    try:
        text, is_note = data.decode(), b"\n\n" in data
        return plans.from_text(parse(data, blame="local").text if is_note else text, blame="local"), is_note
    except (ProtocolError, UnicodeDecodeError) as error:
        words = error.message if isinstance(error, ProtocolError) else "not text"
        raise InputError(f"no rollout plan: {words}", hint="covey rollout plan writes one") from error


def approve(data: bytes, signer: Signer) -> bytes:
    """A plan with one more signature.

    Raises:
        InputError: It is no plan, or has no room for another.
    """
    plan, is_note = read_plan(data)
    made = countersigned(data, signer) if is_note else signed(plans.to_text(plan), signer)
    if len(made) > MAX_PLAN_BYTES:
        raise InputError("the plan is too large with this signature", hint="name fewer devices in its rings")
    return made


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {type(error).__name__}", hint="name a file with one public key") from error
