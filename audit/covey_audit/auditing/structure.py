"""Lines into entries: each by itself, so that one bad line hides no other."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from covey.errors import ProtocolError
from covey.ledger.entries import AnyEntry, decode, kind_of
from covey.ledger.findings import Finding, finding

Numbered = tuple[int, AnyEntry]


@dataclass(frozen=True)
class Log:
    """The entries that could be read, in order.

    Attributes:
        entries: Each with its number: its line, from 0.
    """

    entries: tuple[Numbered, ...]

    @property
    def kinds(self) -> dict[str, int]:
        """How many there are of each kind, by name."""
        return dict(sorted(Counter(kind_of(entry) for _, entry in self.entries).items()))


def read(lines: Sequence[bytes], torn: bytes) -> tuple[Log, list[Finding]]:
    """Every line as an entry.

    Args:
        lines: Without their newlines.
        torn: What stands after the last newline.
    """
    entries: list[Numbered] = []
    found: list[Finding] = []
    for index, line in enumerate(lines):
        try:
            entries.append((index, decode(line)))
        except ProtocolError as error:
            found.append(finding("entry-malformed", f"entry {index} is {error.message}", index))
    if torn:
        words = f"{len(torn)} bytes stand after the last complete line, number {len(lines) - 1}"
        found.append(finding("ledger-torn", words))
    return Log(tuple(entries)), [*found, *_backwards(entries)]


def _backwards(entries: Sequence[Numbered]) -> Iterator[Finding]:
    for (before, first), (index, second) in pairwise(entries):
        if second.time < first.time:
            seconds = first.time - second.time
            yield finding("time-backwards", f"dated {seconds} s before entry {before}", index)
