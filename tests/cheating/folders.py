"""The folders of the cheats: an honest run, and beside it, for each cheat, only what differs from that.

honest/        a run as its operator hands it over, and what its reader has from elsewhere
NAME/          what a cheating operator changed; `cheat.json` says what was removed, and what is found
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = Path(__file__).parents[1] / "audit" / "cheats"
HONEST: Final = "honest"
ABOUT: Final = "cheat.json"
PAGE: Final = "README.md"

POLICY: Final = "policy"
REVIEWER: Final = "keys/reviewer.vkey"
ENROLMENT: Final = "keys/enrolment.pub"
WITNESSED: Final = "witnessed"
"""These a reader has from reviewers, the fleet's owner and the witness, not from the operator."""

AUDIT: Final = (
    *(".", "--policy", POLICY, "--reviewer", REVIEWER),
    *("--enrolment", ENROLMENT, "--witnessed", WITNESSED),
)
"""What follows `covey audit`, in a run's folder."""

Files = Mapping[str, bytes]
"""A folder: content by relative path."""


class Found(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The finding that gives a cheat away.

    Attributes:
        code: Its code.
        entry: The entry that shows it; None if none does.
        severity: How much it weighs.
    """

    code: str
    entry: int | None
    severity: str


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`cheat.json`.

    Attributes:
        words: What the operator did, and why one might.
        found: What gives it away.
        also: Codes of all other findings that are more than notes.
        removed: Files of the honest run that are not there.
        audit: What the reader says more on the command line.
        now: When the reader audits, unix seconds.
    """

    words: str
    found: Found
    also: tuple[str, ...]
    removed: tuple[str, ...]
    audit: tuple[str, ...]
    now: int

    @property
    def data(self) -> bytes:
        """As written."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def read(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def about(name: str) -> About:
    """What `cheat.json` of a cheat says."""
    return msgspec.json.decode((FOLDER / name / ABOUT).read_bytes(), type=About)


def overlay(name: str) -> dict[str, bytes]:
    """What a cheat changed."""
    return {path: data for path, data in read(FOLDER / name).items() if path != ABOUT}


def names() -> list[str]:
    """Every cheat that has a folder."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != HONEST)


def cheated(name: str) -> dict[str, bytes]:
    """The run as a cheating operator hands it over."""
    gone = about(name).removed
    kept = {path: data for path, data in read(FOLDER / HONEST).items() if path not in gone}
    return kept | overlay(name)


def write(folder: Path, files: Files) -> None:
    """Files into a folder."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
