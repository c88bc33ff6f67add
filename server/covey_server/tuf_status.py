"""Where a repository's keys stand: who signs which role, until when, and who must act."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from covey_io.tuf_metadata import Role
from covey_server.tuf_files import AnyMetadata, Files
from covey_server.tuf_publishing import DAY, period, still_missing
from covey_server.tuf_roles import DELEGATED, ONLINE, ROOT, TARGETS, TOP, called

SOON_DAYS: Final = 14


@dataclass(frozen=True)
class Row:
    """A role.

    Attributes:
        role: Its name.
        keys: What its keys are called.
        threshold: So many of them must sign.
        version: What is published; 0 for nothing.
        expires: Unix time, seconds; 0 for nothing.
        days: Left until then; below 0 after it.
        due: Whether somebody must act now.
        who: Who, and how.
    """

    role: str
    keys: tuple[str, ...]
    threshold: int
    version: int
    expires: int
    days: float
    due: bool
    who: str


def rows(repo: Path, now: float | None = None) -> list[Row]:
    """Every role of a repository.

    Raises:
        InputError: Nothing was published there yet.
        StateError: A file is damaged.
    """
    files, at = Files(repo), time.time() if now is None else now
    return [_row(files, role, at) for role in (*TOP, *DELEGATED)]


def waiting(repo: Path) -> tuple[str, ...]:
    """What is staged still needs, in plain words; nothing if nothing is staged."""
    files = Files(repo)
    draft = files.staged()
    return (
        () if draft is None else (still_missing(files, draft) or ("snapshot and timestamp: covey keys sign",))
    )


def lines(found: Sequence[Row]) -> list[str]:
    """A table."""
    out = [f"{'role':<10} {'signed by':<44} {'version':>7}  {'expires':<10} {'days':>6}"]
    for row in found:
        keys = f"{row.threshold} of {', '.join(row.keys)}"
        until = datetime.fromtimestamp(row.expires, UTC).strftime("%Y-%m-%d") if row.version else "-"
        days = f"{row.days:.1f}" if row.version else "-"
        out.append(f"{row.role:<10} {keys:<44} {row.version or '-':>7}  {until:<10} {days:>6}")
    out += [f"! {row.role}: {row.days:.1f} days left: {row.who}" for row in found if row.due]
    return out


def _row(files: Files, role: str, now: float) -> Row:
    delegator = files.needed(ROOT if role in TOP else TARGETS).signed
    held: Role = delegator.get_delegated_role(role)
    keys = tuple(called(delegator.get_key(key)) for key in held.keyids)
    current = files.current(role)
    expires = 0 if current is None else int(current.signed.expires.timestamp())
    return Row(
        role=role,
        keys=keys,
        threshold=held.threshold,
        version=0 if current is None else current.signed.version,
        expires=expires,
        days=0.0 if current is None else (expires - now) / DAY,
        due=current is not None and expires - now < _soon(current, role),
        who=_who(role, held.threshold, keys),
    )


def _soon(current: AnyMetadata, role: str) -> float:
    """Two weeks; of what is signed for less than four, half of its time: a timer has failed by then."""
    return min(SOON_DAYS * DAY, period(current, role) / 2)


def _who(role: str, threshold: int, keys: tuple[str, ...]) -> str:
    if role in ONLINE:
        return "the server's timer: covey release refresh"
    return f"{threshold} of {', '.join(keys)}: covey keys renew REPO {role}"
