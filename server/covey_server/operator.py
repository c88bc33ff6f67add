"""What the operator keeps on the server's disk.

operator.key      Ed25519 private key that signs plans, hexadecimal; for the server only
log.key           Ed25519 private key that signs the ledger's heads, hexadecimal; likewise
enrolment.pub     public key that certifies devices; its private key is kept elsewhere
roster            the fleet's devices, as the enrolment key signed them
reviewers.json    who sign policies, as devices know them
policy            the policy in force, as the reviewers signed it
witnesses         a witness a line: its key, a space, its address (http…, or a folder on this machine)
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from covey.errors import InputError, ProtocolError
from covey.identity import public_of, read_roster
from covey.ledger.checkpoint import LogTrust
from covey.ledger.note import Ed25519Signer, Verifier, read_vkey
from covey.policy.checking import roster_refusals
from covey.policy.signed import Opened, check_current, open_policy
from covey_io.device_keys import read_reviewers
from covey_io.witness_client import HttpWitness, LocalWitness, Witness
from covey_server.ledger_writer import Log
from covey_strategies.protection import Operator

HINT = "name the folder that `covey fleet init` made for the server, or set [privacy] masks = false"


def read_operator(folder: Path, *, policy: bool) -> Operator:
    """What a folder holds.

    Args:
        folder: The operator's.
        policy: Whether plans must appeal to a policy.

    Raises:
        InputError: A file is missing or is not what it should be.
        ProtocolError: The roster is expired, or not signed by the enrolment key; or the policy is not signed
            by the reviewers, or not for this operator.
    """
    try:
        private = _private(folder / "operator.key")
        enrolment = bytes.fromhex((folder / "enrolment.pub").read_text("ascii").strip())
        sent = (folder / "roster").read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds no operator's key and roster: {type(error).__name__}", hint=HINT
        ) from error
    roster = read_roster(sent, enrolment, now=int(time.time()), least_serial=0)
    if not policy:
        return Operator(private, roster, sent)
    opened, note = _policy(folder)
    if (opened.policy.keys.operator, opened.policy.keys.enrolment) != (
        public_of(private).hex(),
        enrolment.hex(),
    ):
        raise InputError(
            f"{folder / 'policy'} is for another operator or enrolment key",
            hint="put the policy of this fleet there",
        )
    for reason in roster_refusals(roster, opened.policy):
        raise InputError(f"{folder / 'policy'}: {reason}", hint="put the policy of this fleet there")
    return Operator(private, roster, sent, opened, note)


def newest(folder: Path, before: Operator, say: Callable[[str], None]) -> Operator:
    """The operator with the roster that lies in the folder now, if it is a newer one.

    Args:
        folder: The operator's.
        before: Of the roster that was named last.
        say: Told why a roster that changed is not taken up: it may be half copied, and whole the next time.
    """
    try:
        return _newer(folder, before)
    except (OSError, ValueError, InputError, ProtocolError) as error:
        say(f"roster {before.roster.serial} stays: {folder / 'roster'}: {error}")
        return before


def _newer(folder: Path, before: Operator) -> Operator:
    enrolment = bytes.fromhex((folder / "enrolment.pub").read_text("ascii").strip())
    sent = (folder / "roster").read_bytes()
    if sent == before.roster_sent:
        return before
    roster = read_roster(sent, enrolment, now=int(time.time()), least_serial=before.roster.serial + 1)
    for reason in () if before.policy is None else roster_refusals(roster, before.policy.policy):
        raise InputError(reason)
    return replace(before, roster=roster, roster_sent=sent)


def read_log(folder: Path, policy: Opened) -> Log:
    """Who writes the ledger, and who watches.

    Raises:
        InputError: A file is missing, or a witness of the policy has no address.
    """
    trust = policy.policy.log_trust()
    try:
        signer = Ed25519Signer(trust.log.name, _private(folder / "log.key"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'log.key'}: {type(error).__name__}", hint=HINT) from error
    if signer.verifier != trust.log:
        raise InputError(
            f"{folder / 'log.key'} is not the log's key of the policy", hint="put the right one there"
        )
    return Log(signer, trust, _witnesses(folder / "witnesses", trust))


def read_witnesses(path: Path) -> list[tuple[Verifier, Witness]]:
    """Witnesses and how to reach them.

    Raises:
        InputError: The file is missing, or a line is not a key and an address.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {type(error).__name__}", hint="write a line: KEY ADDRESS") from error
    found: list[tuple[Verifier, Witness]] = []
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        key, _, address = line.strip().partition(" ")
        if not address:
            raise InputError(f"{path}: a line without an address", hint="write a line: KEY ADDRESS")
        where: Witness = (
            HttpWitness(address)
            if address.startswith(("http://", "https://"))
            else LocalWitness(Path(address))
        )
        found.append((read_vkey(key), where))
    return found


def _witnesses(path: Path, trust: LogTrust) -> tuple[Witness, ...]:
    """Those of the policy, in its order."""
    known = dict(read_witnesses(path)) if trust.witnesses else {}
    reached = tuple(known[key] for key in trust.witnesses if key in known)
    if len(reached) < trust.cosignatures:
        raise InputError(
            f"{path} has addresses of {len(reached)} of its witnesses, {trust.cosignatures} must cosign",
            hint="write a line for each: KEY ADDRESS",
        )
    return reached


def _policy(folder: Path) -> tuple[Opened, bytes]:
    path = folder / "policy"
    try:
        note = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: no signed policy, and devices answer none without one",
            hint="draft one (covey fleet policy), have it signed (covey policy sign), and put it there",
        ) from error
    reviewers = read_reviewers(folder / "reviewers.json")
    if reviewers is None:
        raise InputError(f"{folder / 'reviewers.json'} is missing", hint=HINT)
    try:
        opened = open_policy(note, reviewers, blame="local")
        check_current(opened.policy, int(time.time()))
    except ProtocolError as error:
        hint = error.hint or "put it there as the reviewers signed it (covey policy sign)"
        raise InputError(f"{path}: {error.message}", hint=hint) from error
    return opened, note


def _private(path: Path) -> bytes:
    key = bytes.fromhex(path.read_text("ascii").strip())
    public_of(key)  # only to see that it is a key
    return key
