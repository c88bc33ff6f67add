"""Fenced blocks of a page: files with the names that they are to have, and commands."""

import os
import re
import subprocess
import sys
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


def environment(folder: Path) -> dict[str, str]:
    """As a person has it who works in a folder: the commands at hand, one thread a process."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(folder), "OMP_NUM_THREADS": "1"}


def follow(page: Path, folder: Path) -> str:
    """Write a page's files and run its commands, but for installations; what they printed."""
    said = ""
    for block in blocks_of(page):
        if block.name:
            (folder / block.name).write_text(block.text)
        elif block.kind == "sh" and not block.text.startswith("pip "):
            done = subprocess.run(
                ["bash", "-eo", "pipefail", "-c", block.text],
                cwd=folder,
                env=environment(folder),
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
            said += done.stdout
    return said
