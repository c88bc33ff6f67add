"""Numbers that a formula cannot use, refused by name before they reach it."""

from typing import Final

from covey.errors import InputError

MOST_BITS: Final = 1000


def within(name: str, value: float, least: float, most: float, *, hint: str = "") -> None:
    """Refuse a number outside [least, most]; NaN is outside every range.

    Raises:
        InputError: Names the number, its value and the range.
    """
    if not least <= value <= most:
        raise InputError(f"{name} is {_shown(value)}, not between {least:g} and {most:g}", hint=hint)


def whole(name: str, value: int, least: int, most: int, *, hint: str = "") -> None:
    """Refuse what is not an integer of [least, most].

    Raises:
        InputError: Names the number, its value and the range.
    """
    if type(value) is not int or not least <= value <= most:
        shown = _shown(value)
        raise InputError(f"{name} is {shown}, not a whole number from {least:,} to {most:,}", hint=hint)


def _shown(value: float) -> str:
    """A number in a message; some integers are too long to print."""
    return (
        "beyond all bounds" if isinstance(value, int) and value.bit_length() > MOST_BITS else f"{value:.12g}"
    )


def delta(value: float) -> None:
    """Refuse a δ that promises nothing, or that no formula reaches.

    Raises:
        InputError: δ is not in [1e-30, 0.1].
    """
    within(
        "delta", value, 1e-30, 0.1, hint="usual is a value well below 1 over the number of people, as 1e-5"
    )
