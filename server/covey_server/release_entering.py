"""A release in the fleet's ledger, before anybody is shown it; and what no device should be shown."""

import hashlib
import time

from covey.errors import InputError
from covey.gate_report import consistent
from covey.ledger.entries import MetricsRelease, ModelRelease
from covey.package.archive import unpack
from covey.package.contents import read
from covey.package.provenance import read_provenance
from covey.package.provenance_record import Record
from covey_io.ledger_files import LedgerFiles
from covey_server import ledgers
from covey_server.ledger_writer import LedgerWriter, Log
from covey_server.release_signing import check_subjects


def record_of(archive: bytes) -> Record:
    """What a package says of its own making.

    Raises:
        PackageError: Its files do not agree, or what it says is of another release or of other models: of one
            that passed its gate, perhaps.
        InputError: It says nothing: nobody could tell what paid for it.
    """
    package = read(unpack(archive))
    check_subjects(package)
    found = read_provenance(package)
    if found is None:
        raise InputError("the package has no provenance", hint="make it with covey release build RUN")
    return found.record


def check_gate(record: Record) -> None:
    """Refuse what devices did not judge, or judged badly.

    Raises:
        InputError: Says which.
    """
    hint = "set [release] gate = true and run the federation, or publish it --ungated, on your word"
    if record.gate is None:
        raise InputError(
            f"{record.name} {record.version} did not pass a gate: devices were not asked", hint=hint
        )
    if not record.gate.may_publish:
        raise InputError(f"{record.name} {record.version}: {record.gate.words}", hint="train on")
    if not consistent(record.gate):
        raise InputError(
            f"{record.name} {record.version}: its gate's verdict is not what its numbers say",
            hint="no device that asks for proof would install it; build it again from its run",
        )


def enter(files: LedgerFiles, log: Log | None, archive: bytes, record: Record) -> None:
    """Write a release down and announce it, unless it stands there.

    Args:
        files: The fleet's ledger.
        log: Who writes it and who watches; None where no policy names them.
        archive: As it will be published.
        record: Of it.

    Raises:
        InputError: There is no ledger, another process writes it, or it does not have the release's run: an
            entry is never taken back, and an audit would find a model that nobody paid for.
        RoundAborted: Too few witnesses answered; the entry stands, and is announced the next time.
    """
    if not files.is_there:
        raise InputError(f"{files.path} holds no ledger", hint="name the fleet's: --server SERVER.toml")
    with ledgers.opened(files, log) as writer:
        _check_run(writer, record)
        sha256 = hashlib.sha256(archive).hexdigest()
        if not _stands(writer, sha256):
            entry = ModelRelease(
                time=int(time.time()),
                run=record.run,
                model=record.model,
                package=sha256,
                policy=record.policy,
            )
            writer.append([entry])
        writer.announce()


def _check_run(writer: LedgerWriter, record: Record) -> None:
    """A run that has finished has its figures in the ledger."""
    if not any(isinstance(each, MetricsRelease) and each.run == record.run for each in writer.entries):
        raise InputError(
            f"run {record.run}, which {record.name} {record.version} is of, is not in {writer.files.path}",
            hint="name the ledger that the run wrote to",
        )


def _stands(writer: LedgerWriter, sha256: str) -> bool:
    return any(isinstance(each, ModelRelease) and each.package == sha256 for each in writer.entries)
