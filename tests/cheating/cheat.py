"""What a cheat is: a function that changes a run, and what an audit must find of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cheating.folders import ABOUT, FOLDER, HONEST, About, Files, Found, read
from cheating.keys import keys
from cheating.run import Run

Change = Callable[[Run], None]


@dataclass(frozen=True)
class Cheat:
    """A way to cheat.

    Attributes:
        name: Of its folder.
        words: What the operator did, and why one might.
        change: Does it.
        found: What gives it away.
        also: Codes of all other findings that are more than notes.
        audit: What the reader says more on the command line.
    """

    name: str
    words: str
    change: Change
    found: Found
    also: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()

    def folder(self) -> dict[str, bytes]:
        """All files of its folder."""
        honest = read(FOLDER / HONEST)
        run = Run(honest, keys())
        self.change(run)
        made = run.made
        about = About(
            words=self.words,
            found=self.found,
            also=self.also,
            removed=tuple(sorted(honest.keys() - made.keys())),
            audit=self.audit,
            now=run.now,
        )
        return {ABOUT: about.data} | _differing(honest, made)


def _differing(honest: Files, made: Files) -> dict[str, bytes]:
    return {path: data for path, data in sorted(made.items()) if honest.get(path) != data}


CHEATS: Final[dict[str, Cheat]] = {}
"""All, in the order in which they are written down."""


def cheat(
    code: str,
    entry: int | None = None,
    *,
    severity: str = "critical",
    also: tuple[str, ...] = (),
    audit: tuple[str, ...] = (),
) -> Callable[[Change], Change]:
    """Enter a function as a cheat: its name is the folder's, its docstring says what was done.

    Args:
        code: Of the finding that gives it away.
        entry: That shows it.
        severity: Of the finding.
        also: See `Cheat`.
        audit: See `Cheat`.
    """

    def entered(change: Change) -> Change:
        name = change.__name__.replace("_", "-")
        words = " ".join((change.__doc__ or "").split())
        CHEATS[name] = Cheat(name, words, change, Found(code, entry, severity), also, audit)
        return change

    return entered
