"""A ledger's folder on disk.

entries.jsonl              an entry a line, as it was hashed; only complete lines are entries
checkpoint                 the newest head that was signed, cosigned and announced
evidence/<plan>.msgpack    what shows a reviewer who was in a sum; not for the public: it names devices
rosters/<sha256>           the rosters that plans name; likewise
participants/<plan>.txt    participation leaves of a sum, in hexadecimal, a line each, in order

Public are entries, checkpoint and participants; `covey ledger export` copies just these.
"""

from pathlib import Path
from typing import Final

from covey.errors import InputError
from covey_io.input_files import unreadable

ENTRIES: Final = "entries.jsonl"
CHECKPOINT: Final = "checkpoint"
EVIDENCE: Final = "evidence"
ROSTERS: Final = "rosters"
PARTICIPANTS: Final = "participants"
MOST_BYTES: Final = 1 << 31
MOST_FILE_BYTES: Final = 1 << 28
"""Of any other file: several times the largest evidence that is read."""


class LedgerFiles:
    """What is in a ledger's folder. Nothing is checked here but that it can be read.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = path / ENTRIES
        self.checkpoint = path / CHECKPOINT

    @property
    def is_there(self) -> bool:
        """Whether a ledger was begun here."""
        return self.entries.is_file()

    def lines(self) -> tuple[list[bytes], bytes]:
        """All complete lines without their newlines; and what stands after the last, a torn entry or nothing.

        Raises:
            InputError: There is no ledger, or it cannot be read.
        """
        try:
            if self.entries.stat().st_size > MOST_BYTES:
                raise InputError(f"{self.entries} is larger than {MOST_BYTES >> 20} MiB")
            *lines, torn = self.entries.read_bytes().split(b"\n")
        except OSError as error:
            hint = f"name a ledger's folder, or a run's: one with {ENTRIES}"
            raise unreadable(self.entries, error, hint) from error
        return lines, torn

    def head(self) -> bytes | None:
        """The checkpoint, as signed; None before the first."""
        return _content(self.checkpoint)

    def evidence_path(self, plan: str) -> Path:
        """Where evidence of a sum is, by the plan's digest."""
        return self.path / EVIDENCE / f"{plan}.msgpack"

    def roster_path(self, sha256: str) -> Path:
        """Where a roster is, by its digest."""
        return self.path / ROSTERS / sha256

    def participants_path(self, plan: str) -> Path:
        """Where the leaves of a sum's participants are, by the plan's digest."""
        return self.path / PARTICIPANTS / f"{plan}.txt"

    def evidence(self, plan: str) -> bytes | None:
        """Evidence of a sum; None where there is none."""
        return _content(self.evidence_path(plan))

    def evidence_names(self) -> tuple[str, ...]:
        """Digests of the plans that evidence is here of, in order."""
        return tuple(sorted(path.stem for path in (self.path / EVIDENCE).glob("*.msgpack")))

    def roster(self, sha256: str) -> bytes | None:
        """A roster, as signed; None where it is not here."""
        return _content(self.roster_path(sha256))

    def participants(self, plan: str) -> bytes | None:
        """The leaves of a sum's participants; None where they are not here."""
        return _content(self.participants_path(plan))


def _content(path: Path) -> bytes | None:
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise InputError(f"{path} is larger than {MOST_FILE_BYTES >> 20} MiB", hint="check the file")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error, "check the file") from error
