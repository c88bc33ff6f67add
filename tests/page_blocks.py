"""What a page tells its reader to do: commands and files, each with the machine that its first line names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FENCE = re.compile(r"^```(sh|toml)\n# (.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        kind: Commands, or a file.
        where: What its first line says after `# `.
        text: The other lines, as they stand.
    """

    kind: Literal["sh", "toml"]
    where: str
    text: str

    @property
    def commands(self) -> Iterator[str]:
        """One a line, or more lines where one ends with a backslash."""
        yield from re.findall(r"(?:.*\\\n)*.+", self.text)


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page, in its order."""
    found = FENCE.findall(page.read_text("utf-8"))
    return [Block(*each) for each in found]
