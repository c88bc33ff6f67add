"""A reviewer's waiver: a finding that is accepted, in words that are signed as a note.

    covey-waiver/1 <the ledger's origin>
    <the finding's code>
    entry <number> <SHA-256 of the entry>        or: the whole ledger
    <why, one or more lines>

The first line tells it from every other text that a reviewer may ever sign. The entry is named by its content
too: moved to another ledger, or to another place, the waiver accepts nothing.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from covey.errors import ProtocolError

FORMAT: Final = "covey-waiver/1"
_WHOLE: Final = "the whole ledger"
_ENTRY: Final = re.compile(r"entry (0|[1-9][0-9]{0,15}) ([0-9a-f]{64})", re.ASCII)
_CODE: Final = re.compile(r"[a-z]+(-[a-z]+)*", re.ASCII)
_LINES: Final = 4


@dataclass(frozen=True)
class Accepted:
    """What a waiver says.

    Attributes:
        origin: The ledger's name.
        code: The finding's.
        entry: The entry that shows it; None for a finding that no entry shows.
        sha256: Of that entry, hexadecimal; empty for None.
        words: Why.
    """

    origin: str
    code: str
    entry: int | None
    sha256: str
    words: str

    @classmethod
    def of(cls, origin: str, code: str, entry: int | None, lines: Sequence[bytes], words: str) -> "Accepted":
        """A waiver of a finding in a ledger.

        Raises:
            IndexError: The ledger has no such entry.
        """
        sha256 = "" if entry is None else hashlib.sha256(lines[entry]).hexdigest()
        return cls(origin, code, entry, sha256, words)

    @property
    def text(self) -> str:
        """The text that is signed."""
        where = _WHOLE if self.entry is None else f"entry {self.entry} {self.sha256}"
        return f"{FORMAT} {self.origin}\n{self.code}\n{where}\n{self.words.strip()}\n"

    def is_about(self, lines: Sequence[bytes]) -> bool:
        """Whether the entry is the one that stands there."""
        if self.entry is None or not 0 <= self.entry < len(lines):
            return False
        return hmac.compare_digest(hashlib.sha256(lines[self.entry]).hexdigest(), self.sha256)


def parse(text: str, *, blame: str) -> Accepted:
    """Read a waiver's text; its signatures are the caller's to verify.

    Args:
        text: Of the signed note.
        blame: Who is named if it is none.

    Raises:
        ProtocolError: It is no waiver.
    """
    first, code, where, words = [*text.split("\n", _LINES - 1), "", "", ""][:_LINES]
    form, _, origin = first.partition(" ")
    entry = _ENTRY.fullmatch(where)
    if form != FORMAT or not origin or not _CODE.fullmatch(code) or not words.strip():
        raise ProtocolError("not a waiver", blame=blame)
    if entry is None and where != _WHOLE:
        raise ProtocolError("a waiver that names no entry and not the whole ledger", blame=blame)
    if entry is None:
        return Accepted(origin, code, None, "", words.strip())
    return Accepted(origin, code, int(entry[1]), entry[2], words.strip())
