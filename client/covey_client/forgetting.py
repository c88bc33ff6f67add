"""Erases what a device has recorded, and if its owner says so, all that it is; and says what remains.

Keys go before the budget: a device that was interrupted in this has no identity to answer with, never one
whose budget is gone.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from covey.errors import InputError
from covey_client import segments
from covey_client.retention import recorded_shards
from covey_client.segments import OPEN
from covey_io import durable
from covey_io.lock import held

SECRETS: Final = ("device.json", "identity.key", "salt", "tls.key", "node.key")
TOLD: Final = (
    "node.pub",
    "request.json",
    "admission.json",
    "tls.crt",
    "ca.crt",
    "server",
    "operator.pub",
    "enrolment.pub",
    "reviewers.json",
    "paused",
)
MEMORY: Final = ("*.split.json", "*.shards.json", "claims.json", "budget.jsonl")
LEFT: Final = re.compile(r"\..*\.(lock|tmp)")
"""Locks, and what a write that was interrupted has left: it may be a key."""
_TORN: Final = re.compile(rf"\.({segments.NAME}|{re.escape(OPEN)})\.tmp")
_SHOWN: Final = 3

ALWAYS: Final = (
    "sums that this device was part of: they are released, and their entries stay in the ledger",
    "backups of this device, and what flash storage keeps of removed files until it is written over",
    "the system's log: journalctl --unit covey-agent",
)


@dataclass(frozen=True)
class Places:
    """Where a device has what it has.

    Attributes:
        data: Its examples: a folder, or a file of its owner's.
        state: Its keys and what it never forgets.
        counter: The count of its budget on another storage; None for none.
        elsewhere: Folders of other users, which are named and not touched: the SuperNode's.
    """

    data: Path
    state: Path
    counter: Path | None = None
    elsewhere: Sequence[Path] = ()


@dataclass(frozen=True)
class Account:
    """What became of it.

    Attributes:
        removed: Files, and how much.
        remains: What is left, and where.
    """

    removed: tuple[str, ...]
    remains: tuple[str, ...]


def forget(places: Places, *, everything: bool) -> Account:
    """Erase the recordings; with `everything` the keys and the device's memory as well.

    Run again after it was interrupted, it goes on where it was.

    Args:
        places: Where all of it is.
        everything: Whether the device leaves its fleet for ever.

    Raises:
        InputError: An application is recording, or the agent is running: nothing was removed.
        OSError: A file cannot be removed.
    """
    with ExitStack() as stack:
        if places.data.is_dir():
            busy = InputError(
                f"{places.data}: an application is recording", hint="stop it, then run this again"
            )
            stack.enter_context(held(places.data, busy))
        if everything and places.state.is_dir():
            runs = InputError(f"{places.state}: the agent is running", hint="systemctl stop covey-agent")
            stack.enter_context(held(places.state, runs))
        recordings = _erase(places.data, _recordings(places.data))
        if not everything:
            return Account(
                tuple(_counted(recordings, "recorded")), (*_own(places), *_device(places), *ALWAYS)
            )
        return _forget_device(places, recordings)


def _forget_device(places: Places, recordings: list[Path]) -> Account:
    state = places.state
    removed = _erase(state, (state / name for name in SECRETS))
    removed += _erase(state, _matching(state, LEFT))
    removed += _erase(state, (state / name for name in TOLD))
    removed += _erase(state, (path for name in MEMORY for path in sorted(state.glob(name))))
    if places.counter is not None:
        removed += _erase(places.counter.parent, [places.counter])
    told = (*_counted(recordings, "recorded"), *_counted(removed, "of the device"))
    left = _entries(state)
    remains = (
        *_own(places),
        *_counted(left, f"other in {state}"),
        *(f"{path}: another user's" for path in places.elsewhere if path.exists()),
        "its name in the fleet's roster: ask the fleet's owner for covey fleet revoke",
        "what it has spent is not counted any more: enrolled again, it is another device; tell the reviewers",
        *ALWAYS,
    )
    return Account(told, remains)


def _recordings(folder: Path) -> Iterator[Path]:
    """Of a recorder: the open segment first, which would bring a shard back."""
    if not folder.is_dir():
        return
    yield folder / OPEN
    yield from _matching(folder, _TORN)
    yield from (each.path for each in recorded_shards(folder))


def _erase(folder: Path, paths: Sequence[Path] | Iterator[Path]) -> list[Path]:
    """Remove files in this order; returns those that were there."""
    removed = []
    for path in list(paths):
        if path.exists() or path.is_symlink():
            path.unlink()
            removed.append(path)
            durable.sync_folder(folder)
    return removed


def _own(places: Places) -> Iterator[str]:
    """What the owner put there."""
    if places.data.is_file():
        yield f"{places.data}: your own file"
    yield from _counted(_entries(places.data), f"not of a recorder, in {places.data}")


def _device(places: Places) -> Iterator[str]:
    if _entries(places.state):
        yield f"{places.state}: keys, budget and claims, with which the device goes on (--everything)"
    if any(places.state.glob("*.shards.json")):
        yield "which examples were held out, by digests of their files: put back, each is on its side again"


def _counted(paths: Sequence[Path], what: str) -> Iterator[str]:
    if paths:
        names = ", ".join(path.name for path in paths[:_SHOWN]) + (", …" if len(paths) > _SHOWN else "")
        yield f"{len(paths)} {'file' if len(paths) == 1 else 'files'} {what}: {names}"


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _matching(folder: Path, pattern: "re.Pattern[str]") -> list[Path]:
    return [path for path in _entries(folder) if pattern.fullmatch(path.name)]
