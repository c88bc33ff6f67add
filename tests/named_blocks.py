"""Fenced blocks of a page: files with the names that they are to have, and commands."""

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class NamedBlock:
    """One fenced block.

    Attributes:
        kind: Of what, as "sh" or "toml".
        name: Of the file that it is; empty for none.
        text: Its lines.
    """

    kind: str
    name: str
    text: str


def blocks_of(page: Path) -> list[NamedBlock]:
    """All blocks of a page that say their kind, in its order."""
    return [NamedBlock(*found) for found in FENCE.findall(page.read_text("utf-8"))]
