"""Where a ledger is, given a ledger's folder or a run's."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from covey.errors import InputError
from covey_io.ledger_files import ENTRIES, LedgerFiles

MARKS = "run.json"


class _Marks(msgspec.Struct, frozen=True):
    run: str
    ledger: str = "ledger"


@dataclass(frozen=True)
class Found:
    """A ledger.

    Attributes:
        files: Its folder.
        folder: The run's folder that led there; None if a ledger's own was named.
        run: That run's identifier; empty for None.
    """

    files: LedgerFiles
    folder: Path | None
    run: str


def find(path: Path) -> Found:
    """The ledger that a person means.

    Args:
        path: A ledger's folder, or a run's.

    Raises:
        InputError: Neither; or a run whose ledger is not there.
    """
    files = LedgerFiles(path)
    if files.is_there:
        return Found(files, None, "")
    try:
        marks = msgspec.json.decode((path / MARKS).read_bytes(), type=_Marks)
    except FileNotFoundError as error:
        raise InputError(
            f"{path} holds neither a ledger nor a run",
            hint=f"name a folder with {ENTRIES} or {MARKS} in it",
        ) from error
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path / MARKS} cannot be read", hint="name the ledger's folder instead") from error
    files = LedgerFiles(path / marks.ledger)
    if not files.is_there:
        raise InputError(
            f"{path} says that its ledger is in {files.path}, and none is there",
            hint="name the ledger's folder instead",
        )
    return Found(files, path, marks.run)
