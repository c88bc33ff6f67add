"""What an operator writes into the fleet's ledger beside runs: a waiver, a search for settings, an audit."""

import hashlib
import time
from pathlib import Path

from covey.errors import InputError, ProtocolError
from covey.ledger import entries
from covey.ledger.entries import AnyEntry, AuditResult, TuningRun, Waiver
from covey.ledger.history import History
from covey.ledger.note import parse
from covey_io.input_files import read_file
from covey_io.ledger_files import LedgerFiles
from covey_server.ledger_writer import writing
from covey_server.operator import read_log, read_operator


def waiver(path: Path) -> Waiver:
    """What reviewers accepted, in words that they signed.

    Raises:
        InputError: The file cannot be read.
        ProtocolError: It is no signed note.
    """
    data = read_file(path)
    parse(data, blame="local")
    return Waiver(time=int(time.time()), note=data.decode())


def tuning(run: str, words: str, epsilon: str | None, delta: str | None) -> TuningRun:
    """That settings of a run were chosen by looking at the same people's data."""
    return TuningRun(time=int(time.time()), run=run, words=words, epsilon=epsilon, delta=delta)


def audited(ledger: Path, report: Path, findings: int, words: str) -> AuditResult:
    """That the ledger as it stands was audited, and what the auditor concluded.

    Raises:
        InputError: A file cannot be read.
    """
    lines, _ = LedgerFiles(ledger).lines()
    digest = hashlib.sha256(read_file(report)).hexdigest()
    root = History.of(lines).root().hex()
    return AuditResult(
        time=int(time.time()), size=len(lines), root=root, findings=findings, report=digest, words=words
    )


def record(ledger: Path, operator: Path, entry: AnyEntry) -> int:
    """Append an entry to a fleet's ledger and announce it.

    Args:
        ledger: Its folder.
        operator: The operator's folder, for the log's key and the witnesses.
        entry: What to write.

    Returns:
        Its number.

    Raises:
        InputError: No ledger is there, another process writes it, or an entry says what none can.
        RoundAborted: Too few witnesses answered.
    """
    files = LedgerFiles(ledger)
    if not files.is_there:
        raise InputError(f"{ledger} holds no ledger", hint="name the folder with entries.jsonl")
    _check(entry)
    policy = read_operator(operator, policy=True).policy
    if policy is None:
        raise InputError(f"{operator} holds no policy", hint="put the signed policy there")
    with writing(files, read_log(operator, policy), lambda: int(time.time())) as writer:
        (number,) = writer.append([entry])
        writer.announce()
    return number


def _check(entry: AnyEntry) -> None:
    """Refuse what a reader of the ledger would refuse: it would stand there for ever."""
    try:
        entries.decode(entries.encode(entry), blame="local")
    except ProtocolError as error:
        raise InputError(
            f"no entry can say this: {error.message}", hint="correct it and try again"
        ) from error
