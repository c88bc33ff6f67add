"""One thing in which two policies differ, and which way."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

Verdict = Literal["weaker", "changed", "stronger"]
VERDICTS: Final[tuple[Verdict, ...]] = ("weaker", "changed", "stronger")


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was.

    Attributes:
        verdict: Whether the newer policy protects less, more, or just otherwise.
        key: What it is about, as in the TOML.
        words: The newer policy's state, and the older one's.
    """

    verdict: Verdict
    key: str
    words: str


def more(key: str, old: Fraction | int, new: Fraction | int, words: str) -> Iterator[Difference]:
    """A number of which more is weaker."""
    if new != old:
        yield Difference("weaker" if new > old else "stronger", key, words)


def less(key: str, old: Fraction | int, new: Fraction | int, words: str) -> Iterator[Difference]:
    """A number of which less is weaker."""
    yield from more(key, -old, -new, words)


def other(key: str, old: str, new: str, words: str) -> Iterator[Difference]:
    """What is neither more nor less."""
    if new != old:
        yield Difference("changed", key, words)


def verdict(*, weaker: bool, stronger: bool) -> Verdict:
    """Weaker if the older demands all that the newer does; if each or neither does, just changed."""
    if weaker == stronger:
        return "changed"
    return "weaker" if weaker else "stronger"
