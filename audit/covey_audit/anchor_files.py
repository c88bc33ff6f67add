"""What a reviewer holds, from the files and addresses in which it was given."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from covey.errors import CoveyError, InputError, ProtocolError
from covey.identity import check_key
from covey.ledger.checkpoint import claimed
from covey.ledger.note import MAX_NOTE_BYTES
from covey.policy.signed import Reviewers
from covey_audit.auditing.material import Anchors, Asked
from covey_audit.ledger_folder import Found
from covey_audit.policy_files import read_bytes
from covey_audit.reviewer_keys import is_file, is_path, verifier_of
from covey_io.witness_client import HttpWitness, LocalWitness, Witness

POLICY: Final = "policy"
WITNESS: Final = "witness"
REVIEWER: Final = "keys/reviewer.vkey"
ENROLMENT: Final = "keys/enrolment.pub"
"""Of a run: its policy, its witness's folder, and the public keys of those who made it."""


@dataclass(frozen=True)
class Given:
    """What a person named on the command line; each may be missing.

    Attributes:
        policy: The signed policy's file.
        reviewers: Public keys of reviewers, each a file or the word itself.
        threshold: So many of them must have signed.
        enrolment: The enrolment key, 64 hexadecimal digits or a file with them.
        witnessed: A witness's address, its folder, or a file with the checkpoint that it gave.
        previous: A checkpoint's file.
    """

    policy: Path | None = None
    reviewers: Sequence[str] = ()
    threshold: int = 1
    enrolment: str | None = None
    witnessed: str | None = None
    previous: Path | None = None


def anchors_of(given: Given, ledger: Found, now: int) -> Anchors:
    """What a reader trusts.

    Args:
        given: As named.
        ledger: That is audited: a witness is asked about its log.
        now: Unix time, seconds.

    Raises:
        InputError: Something of it cannot be read.
        CoveyError: A witness cannot be asked.
    """
    if given.threshold > 1 and not given.reviewers:
        raise InputError("a threshold needs reviewers to count", hint="add --reviewer for each of them")
    keys = tuple(verifier_of(each) for each in given.reviewers)
    return Anchors(
        reviewers=Reviewers(keys, given.threshold) if keys else None,
        policy=None if given.policy is None else read_bytes(given.policy),
        enrolment=None if given.enrolment is None else _key(given.enrolment),
        witnessed=None if given.witnessed is None else _witnessed(given.witnessed, ledger),
        asked="file" if given.witnessed is None else _asked(given.witnessed),
        previous=None if given.previous is None else _note(given.previous),
        now=now,
    )


def own_of(ledger: Found, now: int) -> Anchors:
    """A run's own policy, keys and witness, for a self-check.

    Raises:
        InputError: It is no run's folder.
    """
    if ledger.folder is None:
        raise InputError("a self-check needs a run's folder", hint="name the run, not its ledger")
    policy, witness = ledger.folder / POLICY, ledger.folder / WITNESS
    reviewer, enrolment = ledger.folder / REVIEWER, ledger.folder / ENROLMENT
    return Anchors(
        reviewers=Reviewers((verifier_of(str(reviewer)),)) if reviewer.is_file() else None,
        policy=read_bytes(policy) if policy.is_file() else None,
        enrolment=_key(str(enrolment)) if enrolment.is_file() else None,
        witnessed=_latest(LocalWitness(witness), str(witness), ledger) if witness.is_dir() else None,
        now=now,
        borrowed=True,
    )


def _key(given: str) -> bytes:
    hint = "give 64 hexadecimal digits, or a file that holds them"
    held = is_file(given)
    try:
        text = Path(given).read_text("ascii") if held else given
        key = bytes.fromhex(text.strip())
        check_key(key)
    except (OSError, ValueError):
        # Never what was given, unless it names a file: it may be a private key.
        where = f"--enrolment {given}" if held or is_path(given) else "--enrolment"
        raise InputError(f"{where}: not an Ed25519 public key", hint=hint) from None
    return key


def _asked(given: str) -> Asked:
    if "://" in given:
        return "address"
    return "folder" if Path(given).is_dir() else "file"


def _witnessed(given: str, ledger: Found) -> bytes:
    match _asked(given):
        case "address":
            return _latest(HttpWitness(given), given, ledger)
        case "folder":
            return _latest(LocalWitness(Path(given)), given, ledger)
        case "file":
            return _note(Path(given))


def _latest(witness: Witness, where: str, ledger: Found) -> bytes:
    """The latest checkpoint that a witness cosigned of this ledger.

    Raises:
        CoveyError: It knows none, or cannot be asked.
        InputError: The ledger does not say which log it is.
    """
    origin = origin_of(ledger)
    found = witness.latest(origin)
    if found is None:
        raise CoveyError(
            f"witness {where} has never seen ledger {origin!r}",
            hint="ask the operator which witness cosigns; one that knows nothing vouches for nothing",
        )
    return found


def origin_of(ledger: Found) -> str:
    """The name that a ledger's checkpoint gives it; nobody has checked it.

    Raises:
        InputError: It has none.
    """
    head = ledger.files.head()
    if head is None:
        raise InputError(
            "the ledger has no checkpoint to say which log it is", hint="ask for all of its folder"
        )
    try:
        return claimed(head, blame="operator").origin
    except ProtocolError as error:
        raise InputError(
            f"the ledger's checkpoint cannot be read: {error.message}", hint="ask for another copy"
        ) from error


def _note(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_NOTE_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"{path}: {(error.strerror or str(error)).lower()}", hint="give a checkpoint's file"
        ) from error
    return data
