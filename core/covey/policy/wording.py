"""Numbers and lists as a sentence has them."""

from covey.accounting import round_up
from covey.policy.terms import exact


def count(number: int, noun: str) -> str:
    """As in "1 reviewer" and "2,000 answers"."""
    many = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else many}"


def listed(names: tuple[str, ...], noun: str) -> str:
    """As in "the models a, b"."""
    return f"the {noun if len(names) == 1 else noun + 's'} {', '.join(names)}"


def percent(share: str) -> str:
    """A decimal share as in "30%"."""
    return f"{float(100 * exact(share)):g}%"


def up(value: float) -> str:
    """Two decimals, never too small."""
    return f"{round_up(value, 2):,.2f}"


def one_line(text: str) -> str:
    """A text with its white space made single spaces."""
    return " ".join(text.split())
