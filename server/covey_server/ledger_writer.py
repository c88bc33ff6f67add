"""The ledger's one writer: an entry is durable before a head names it, a head before it is shown.

Append, then announce. `append` returns once the entries are on disk. `announce` signs a head over all of
them, has witnesses cosign it, and puts it in place: only now may anybody be told. A crash anywhere leaves
entries that no head names yet (the next one will) or a torn last line (it is taken off: nothing has followed
from it); it never leaves a head without its entries.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final, TypeVar

from covey.errors import CoveyError, InputError, ProtocolError, RoundAborted, StateError
from covey.ledger import entries
from covey.ledger.checkpoint import (
    Checkpoint,
    LogTrust,
    Witnessed,
    cosignatures_in,
    open_checkpoint,
    sign_checkpoint,
    with_cosignatures,
)
from covey.ledger.entries import AnyEntry, Entry
from covey.ledger.history import History
from covey.ledger.note import Signer
from covey_io import durable
from covey_io.ledger_files import EVIDENCE, PARTICIPANTS, ROSTERS, LedgerFiles
from covey_io.lock import held
from covey_io.witness_client import Conflict, Witness
from covey_server.sum_rows import decoded

Kind = TypeVar("Kind", bound=Entry)

TRIES: Final = 3
BRING_UP: Final = "bring a witness up (covey witness serve)"


@dataclass(frozen=True)
class Log:
    """Who writes a ledger, and who watches.

    Attributes:
        signer: The log's key; its name is the ledger's origin.
        trust: What devices will ask of a head: origin, the log's key, witnesses, how many.
        witnesses: How to reach them, in any order.
    """

    signer: Signer
    trust: LogTrust
    witnesses: tuple[Witness, ...]


class LedgerWriter:
    """A ledger that is open for writing; see `writing`.

    Args:
        files: Its folder.
        log: Who writes it, and who watches.
        now: The clock, Unix seconds.
    """

    def __init__(self, files: LedgerFiles, log: Log, now: Callable[[], int]) -> None:
        self.files = files
        self._log = log
        self._now = now
        self._cosigned = [0 for _ in log.witnesses]
        self._failed = False
        lines, torn = files.lines() if files.is_there else ([], b"")
        self.history = History.of(lines)
        self.entries: list[AnyEntry] = [decoded(files, number, line) for number, line in enumerate(lines)]
        self._lines = lines
        self.head = self._last_head()
        _recover(files, lines, torn)

    def append(self, added: Iterable[AnyEntry]) -> tuple[int, ...]:
        """Add entries, durably, all in one write.

        Returns:
            Their places.

        Raises:
            ProtocolError: One could not be read again, and would spoil the ledger. Nothing is written.
            StateError: The disk does not take them. What it took of them is found when the ledger is opened
                anew; until then nothing more is written.
        """
        new = [(entry, entries.encode(entry)) for entry in added]
        for _, line in new:
            entries.decode(line, blame="local")
        if new:
            self._write(b"".join(line + b"\n" for _, line in new))
        first = len(self.entries)
        for entry, line in new:
            self.entries.append(entry)
            self._lines.append(line)
            self.history.append(line)
        return tuple(range(first, len(self.entries)))

    def announce(self) -> Witnessed:
        """A head over all entries, signed, cosigned and on disk; the one there is if nothing was added.

        Raises:
            RoundAborted: Too few witnesses answered. The entries stand, and the next head will have them.
            StateError: A witness has seen another history of this ledger.
        """
        size = self.history.size
        if self.head is not None and self.head.checkpoint.size == size:
            return self.head
        checkpoint = Checkpoint(self._log.trust.origin, size, self.history.root())
        note = sign_checkpoint(checkpoint, self._log.signer)
        absent: list[CoveyError | OSError] = []
        for place, witness in enumerate(self._log.witnesses):
            try:
                note = self._cosigned_by(place, witness, note, size)
            except StateError:  # it has seen another history: no number of others makes up for that
                raise
            except (CoveyError, OSError) as error:  # one that is away is not the end: others may be enough
                absent.append(error)
        try:
            head = open_checkpoint(note, self._log.trust, blame="witness")
        except ProtocolError as error:
            raise _unwitnessed(error, absent) from error
        durable.replace(self.files.checkpoint, note)
        self.head = head
        return head

    def line(self, index: int) -> bytes:
        """An entry as it stands in the log."""
        return self._lines[index]

    @property
    def now(self) -> int:
        """The clock, Unix seconds."""
        return self._now()

    def _cosigned_by(self, place: int, witness: Witness, note: bytes, size: int) -> bytes:
        """The note with one witness's line.

        Raises:
            StateError: The witness has seen another history of this ledger.
            CoveyError: It cannot be had, or answers what is no cosignature.
            OSError: It is in a folder of this machine that cannot be written.
        """
        for _ in range(TRIES):
            old = min(self._cosigned[place], size)
            answer = witness.cosign(old, self.history.consistency(old, size), note)
            if not isinstance(answer, Conflict):
                note = with_cosignatures(note, cosignatures_in(answer, note, self._log.trust.witnesses))
                self._cosigned[place] = size
                return note
            if answer.size > size:
                raise StateError(
                    f"a witness has seen {answer.size} entries of this ledger, here are {size}",
                    hint="the folder was rolled back, or is not the ledger: put the newer one back",
                )
            self._cosigned[place] = answer.size
        raise CoveyError("a witness names another size each time that it is asked")

    def _write(self, lines: bytes) -> None:
        """Never after a write that failed: what stands behind half a line is lost."""
        if self._failed:
            raise StateError(
                f"{self.files.entries} could not be written before",
                hint="go on with the run in a new process",
            )
        try:
            durable.append(self.files.entries, lines)
        except OSError as error:
            self._failed = True
            raise StateError(
                f"{self.files.entries}: {(error.strerror or str(error)).lower()}",
                hint="make room on the disk, and go on with the run",
            ) from error

    def _last_head(self) -> Witnessed | None:
        """The head that was announced last; it must be one of these entries'.

        Returns:
            None also for one that devices would not believe any more, such as one from before a policy with
            another witness.

        Raises:
            StateError: Entries that were announced are missing or changed.
        """
        data = self.files.head()
        if data is None:
            return None
        trust = self._log.trust
        try:
            head = open_checkpoint(data, LogTrust(trust.origin, trust.log, (), 0), blame="local")
        except ProtocolError as error:
            raise StateError(
                f"{self.files.checkpoint}: {error.message}",
                hint="the ledger was written under another key: name that one, or keep this run elsewhere",
            ) from error
        size = head.checkpoint.size
        if size > self.history.size or not compare_digest(self.history.root(size), head.checkpoint.root):
            raise StateError(
                f"{self.files.entries} is not what {self.files.checkpoint} was announced for",
                hint="entries were lost or changed: put them back; nothing was overwritten",
            )
        try:
            return open_checkpoint(data, trust, blame="local")
        except ProtocolError:
            return None


@contextmanager
def writing(files: LedgerFiles, log: Log, now: Callable[[], int]) -> Iterator[LedgerWriter]:
    """Open a ledger, or begin one, for one process at a time.

    Raises:
        InputError: Another process writes it.
        StateError: What is there is damaged.
    """
    durable.make_folder(files.path)
    refusal = InputError(f"{files.path} is in use by another process", hint="wait for it, or stop it")
    with held(files.path / ".lock", refusal):
        yield LedgerWriter(files, log, now)


def _unwitnessed(error: ProtocolError, absent: Sequence[CoveyError | OSError]) -> RoundAborted:
    """Too few cosignatures, and why the first that is missing could not be had."""
    hint = next((each.hint for each in absent if isinstance(each, CoveyError) and each.hint), BRING_UP)
    why = [each.message if isinstance(each, CoveyError) else str(each) for each in absent[:1]]
    reasons = "; ".join([error.message, *why])
    return RoundAborted(
        f"the ledger's new head could not be witnessed: {reasons}", hint=f"{hint}; then go on with the run"
    )


def _recover(files: LedgerFiles, lines: Sequence[bytes], torn: bytes) -> None:
    """Clear up behind a process that died.

    What it wrote may not be on the disk yet, and a head must not name it before. A torn last line is taken
    off, so that the next one begins at a line's start. Of evidence that was cut short nothing is of use.
    """
    if torn:
        durable.replace(files.entries, b"".join(line + b"\n" for line in lines))
    elif files.is_there:
        durable.sync(files.entries)
    for folder in (EVIDENCE, PARTICIPANTS, ROSTERS):
        for half in (files.path / folder).glob(".*.tmp"):
            half.unlink()


def latest(found: Sequence[AnyEntry], kind: type[Kind]) -> Kind | None:
    """The last entry of a kind."""
    return next((entry for entry in reversed(found) if isinstance(entry, kind)), None)
