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
from covey.ledger.entries import AnyEntry
from covey.ledger.history import History
from covey.ledger.note import Signer
from covey_io import durable
from covey_io.ledger_files import LedgerFiles
from covey_io.lock import held
from covey_io.witness_client import Conflict, Witness
from covey_server.sum_rows import decoded

TRIES = 3


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
        lines = _recovered(files)
        self.history = History.of(lines)
        self.entries: list[AnyEntry] = [decoded(files, number, line) for number, line in enumerate(lines)]
        self._lines = lines
        self.head = self._last_head()

    def append(self, added: Iterable[AnyEntry]) -> tuple[int, ...]:
        """Add entries, durably, all in one write.

        Returns:
            Their places.
        """
        new = [(entry, entries.encode(entry)) for entry in added]
        if new:
            durable.append(self.files.entries, b"".join(line + b"\n" for _, line in new))
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
        """
        size = self.history.size
        if self.head is not None and self.head.checkpoint.size == size:
            return self.head
        checkpoint = Checkpoint(self._log.trust.origin, size, self.history.root())
        note = sign_checkpoint(checkpoint, self._log.signer)
        for place, witness in enumerate(self._log.witnesses):
            note = self._cosigned_by(place, witness, note, size)
        try:
            head = open_checkpoint(note, self._log.trust, blame="witness")
        except ProtocolError as error:
            raise RoundAborted(
                f"the ledger's new head could not be witnessed: {error.message}",
                hint="bring a witness up (covey witness serve), and go on with the run",
            ) from error
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
        """The note with one witness's line; as it was if the witness cannot be had.

        Raises:
            StateError: The witness has seen another history of this ledger.
        """
        for _ in range(TRIES):
            old = min(self._cosigned[place], size)
            try:
                answer = witness.cosign(old, self.history.consistency(old, size), note)
            except StateError:  # it has seen another history: no number of others makes up for that
                raise
            except CoveyError:  # one witness that is away is not the end: others may be enough
                return note
            if isinstance(answer, Conflict):
                if answer.size > size:
                    raise StateError(
                        f"a witness has seen {answer.size} entries of this ledger, here are {size}",
                        hint="the folder was rolled back, or is not the ledger: put the newer one back",
                    )
                self._cosigned[place] = answer.size
                continue
            try:
                lines = cosignatures_in(answer, note, self._log.trust.witnesses)
            except ProtocolError:  # not signature lines: as good as no answer
                return note
            self._cosigned[place] = size
            return with_cosignatures(note, lines)
        return note

    def _last_head(self) -> Witnessed | None:
        """The head that was announced last; it must be one of these entries'.

        Raises:
            StateError: Entries that were announced are missing or changed.
        """
        data = self.files.head()
        if data is None:
            return None
        try:
            head = open_checkpoint(data, self._log.trust, blame="local")
        except ProtocolError as error:
            raise StateError(
                f"{self.files.checkpoint}: {error.message}",
                hint="the ledger was written under another key or policy: name its own",
            ) from error
        size = head.checkpoint.size
        if size > self.history.size or not compare_digest(self.history.root(size), head.checkpoint.root):
            raise StateError(
                f"{self.files.entries} is not what {self.files.checkpoint} was announced for",
                hint="entries were lost or changed: put them back; nothing was overwritten",
            )
        return head


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


def _recovered(files: LedgerFiles) -> list[bytes]:
    """All entries; a torn last line is taken off first, so that the next one begins at a line's start."""
    if not files.is_there:
        return []
    lines, torn = files.lines()
    if torn:
        durable.replace(files.entries, b"".join(line + b"\n" for line in lines))
    return lines


def latest(found: Sequence[AnyEntry], kind: type[AnyEntry]) -> AnyEntry | None:
    """The last entry of a kind."""
    return next((entry for entry in reversed(found) if isinstance(entry, kind)), None)
