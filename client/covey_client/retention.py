"""How long recorded examples are kept: whole shards are removed, the oldest first.

Only what a recorder made is removed (`covey_client.recorder`); files of other names are their owner's. A name
that is removed is off the disk's directory for good; what flash storage still holds of its content is not in
anybody's hand.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from covey.errors import CoveyError, StateError
from covey_client import segments
from covey_client.segments import OPEN, Header
from covey_io import durable
from covey_io.lock import held

DAY: Final = 86400.0
MB: Final = 1_000_000
_HEADER_BYTES: Final = 4096


@dataclass(frozen=True)
class Recorded:
    """A file with recorded examples.

    Attributes:
        path: Where it is.
        number: In the order of recording.
        begun: When its first example was recorded, Unix seconds.
        size: In bytes.
    """

    path: Path
    number: int
    begun: int
    size: int


@dataclass(frozen=True)
class Removed:
    """What was removed, and why.

    Attributes:
        recorded: The file.
        why: "older than 30 days", or "more than 500 MB".
    """

    recorded: Recorded
    why: str


def recorded_shards(folder: Path) -> list[Recorded]:
    """All sealed shards in a folder, the oldest first; none if it is not there."""
    found = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if re.fullmatch(segments.NAME, path.name):
                with suppress(FileNotFoundError):
                    found.append(_recorded(path, path.name))
    return sorted(found, key=lambda each: (each.number, each.path.name))


def retain(folder: Path, days: float, megabytes: float, now: float) -> list[Removed]:
    """Remove what is too old or too much, durably.

    A shard is as old as its first example. The open segment is removed when it is too old and no recorder is
    at work on it; one that is sees to it that it is sealed in time.

    Args:
        folder: With the shards.
        days: Older ones are removed; 0 to keep them.
        megabytes: While all together are larger, the oldest is removed; 0 to keep them.
        now: Unix seconds.

    Returns:
        What was removed, for the owner's log.

    Raises:
        OSError: A file cannot be removed.
    """
    removed = []
    left = recorded_shards(folder)
    for each in recorded_shards(folder):
        why = _why(each, sum(shard.size for shard in left), days, megabytes, now)
        if why:
            left.remove(each)
            remove(each.path)
            removed.append(Removed(each, why))
    return removed + list(_open_segment(folder, days, now))


def remove(path: Path) -> None:
    """Take a shard away; not even a recorder that crashed while it sealed it would bring it back."""
    opened = path.with_name(OPEN)
    header = _header(opened)
    if header is not None and header.shard == path.name:
        with suppress(CoveyError), held(path.parent, StateError("it is being recorded to")):
            opened.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    durable.sync_folder(path.parent)


def _why(shard: Recorded, together: int, days: float, megabytes: float, now: float) -> str:
    if days and now - shard.begun > days * DAY:
        return f"older than {days:g} days"
    return f"more than {megabytes:g} MB" if megabytes and together > megabytes * MB else ""


def _open_segment(folder: Path, days: float, now: float) -> Iterator[Removed]:
    path = folder / OPEN
    header = _header(path)
    if not days or header is None or now - header.begun <= days * DAY:
        return
    with suppress(StateError), held(folder, StateError("it is being recorded to")):
        removed = _recorded(path, header.shard)
        path.unlink()
        durable.sync_folder(folder)
        yield Removed(removed, f"older than {days:g} days")


def _recorded(path: Path, name: str) -> Recorded:
    number, begun, _ = name.split("-")
    return Recorded(path, int(number), int(begun), path.stat().st_size)


def _header(path: Path) -> Header | None:
    """Of a segment; None if there is none, or none that can be read."""
    try:
        with path.open("rb") as file:
            return segments.read_header(file.read(_HEADER_BYTES), str(path))[0]
    except (OSError, StateError):
        return None
