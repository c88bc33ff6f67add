"""Which ledger a run writes to, and who signs it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from covey.errors import InputError
from covey.ledger.checkpoint import LogTrust
from covey.ledger.note import Ed25519Signer
from covey_io import durable
from covey_io.ledger_files import LedgerFiles
from covey_server.ledger_writer import LedgerWriter, Log, writing

UNWATCHED: Final = "covey/unwatched"
"""Origin of ledgers that nobody witnesses: of runs that appeal to no policy."""
OWN_KEY: Final = "log.key"


@contextmanager
def opened(files: LedgerFiles, log: Log | None) -> Iterator[LedgerWriter]:
    """A ledger open for writing.

    Args:
        files: Its folder.
        log: Who writes it and who watches; None for a run without a policy: then a key in the folder signs,
            and nobody watches.

    Raises:
        InputError: Another process writes it, or runs of the other sort do.
        StateError: It is damaged.
    """
    _check_sort(files, log)
    with writing(files, unwatched(files.path) if log is None else log, lambda: int(time.time())) as writer:
        yield writer


def _check_sort(files: LedgerFiles, log: Log | None) -> None:
    """A ledger has one name and one key from its first entry to its last."""
    is_unwatched = (files.path / OWN_KEY).exists()
    if log is None and files.is_there and not is_unwatched:
        raise InputError(
            f"{files.path} is the ledger of runs under a policy",
            hint="give runs without one a folder of their own: runs in [tool.flwr.app.config]",
        )
    if log is not None and is_unwatched:
        raise InputError(
            f"{files.path} is the ledger of runs without a policy, which nobody witnesses",
            hint="give runs under one a folder of their own: runs in [tool.flwr.app.config]",
        )


def unwatched(folder: Path) -> Log:
    """A log that is signed by a key in its own folder, made there if there is none.

    Raises:
        InputError: The key cannot be read.
    """
    path = folder / OWN_KEY
    if not path.exists():
        durable.make_folder(folder)
        durable.replace(path, os.urandom(32).hex().encode() + b"\n", mode=0o600)
    try:
        signer = Ed25519Signer(UNWATCHED, bytes.fromhex(path.read_text("ascii").strip()))
        trust = LogTrust(UNWATCHED, signer.verifier, (), 0)
    except ValueError as error:
        raise InputError(f"{path} is no key", hint="put it back, or start a new run elsewhere") from error
    return Log(signer, trust, ())
