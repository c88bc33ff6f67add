"""Decisions of rollouts in the fleet's ledger: each once, durable and announced before devices are told."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from covey.errors import InputError, ProtocolError
from covey.ledger import entries
from covey.ledger.entries import RolloutDecision
from covey.policy.signed import open_policy
from covey_io.device_keys import read_reviewers
from covey_io.input_files import unreadable
from covey_io.ledger_files import LedgerFiles
from covey_server.ledger_writer import Log
from covey_server.ledgers import opened
from covey_server.operator import read_log


@dataclass(frozen=True)
class Told:
    """What a ledger knows of a fleet's rollouts.

    Attributes:
        serial: The largest that an instruction had; 0 for none.
        rollouts: Identifiers that were used.
    """

    serial: int
    rollouts: frozenset[str]


class Decisions(Protocol):
    """Where decisions are entered."""

    def enter(self, entry: RolloutDecision) -> None:
        """Write an entry and announce it, unless it stands there; returns once both is done."""

    def told(self, fleet: str) -> Told:
        """What is there of a fleet."""


class LedgerOfDecisions:
    """A fleet's ledger, opened for each decision alone: runs write to it as well.

    Args:
        files: Its folder.
        log: Who writes it and who watches; None where no policy names them: then nobody watches.
    """

    def __init__(self, files: LedgerFiles, log: Log | None) -> None:
        self._files = files
        self._log = log

    def enter(self, entry: RolloutDecision) -> None:
        """See `Decisions`.

        Raises:
            InputError: Another process writes the ledger, a run perhaps.
            RoundAborted: Too few witnesses answered; the entry stands, and is announced the next time.
        """
        with opened(self._files, self._log) as writer:
            if entry not in writer.entries:
                writer.append([entry])
            writer.announce()

    def told(self, fleet: str) -> Told:
        """See `Decisions`.

        Raises:
            InputError: It cannot be read, or has a line that is no entry.
        """
        lines = self._files.lines()[0] if self._files.is_there else []
        found = [each for each in map(self._read, lines) if isinstance(each, RolloutDecision)]
        ours = [each for each in found if each.fleet == fleet]
        return Told(max((each.serial for each in ours), default=0), frozenset(each.rollout for each in ours))

    def _read(self, line: bytes) -> entries.AnyEntry:
        try:
            return entries.decode(line, blame="local")
        except ProtocolError as error:
            raise InputError(
                f"{self._files.entries}: {error.message}", hint=f"covey ledger show {self._files.path}"
            ) from error


def read_rollout_log(operator: Path) -> Log | None:
    """Who writes the ledger and who watches, by the policy in the operator's folder; None without one.

    A policy whose time is over stops sums. It does not stop a rollback: its log and witnesses still serve.

    Raises:
        InputError: A file is missing or is not what it should be.
    """
    path = operator / "policy"
    try:
        note = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error, "check the file") from error
    reviewers = read_reviewers(operator / "reviewers.json")
    if reviewers is None:
        raise InputError(f"{operator / 'reviewers.json'} is missing", hint="put it back as init made it")
    try:
        return read_log(operator, open_policy(note, reviewers, blame="local"))
    except ProtocolError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from error


def clock() -> int:
    """Unix seconds."""
    return int(time.time())
