"""Numbers, dates and names as people read them. An ε is rounded up, never to the nearest."""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from covey.accounting.rounding import round_up

DIGITS: Final = 3
"""Decimals of an ε."""
UNKNOWN: Final = "not known"
NO_BOUND: Final = "no bound"
"""What ε is where a sum had no noise."""
LATEST: Final = 253_402_300_799
"""The last second that a calendar of four-digit years has."""
INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
HARMLESS: Final = "\n\t\u200c\u200d"  # the joiners shape words in several scripts


def epsilon(value: float | None) -> str:
    """Three decimals, never too small: 3.88051 as "3.881"."""
    return NO_BOUND if value is None else f"{round_up(value, DIGITS):,.{DIGITS}f}"


def probability(value: float) -> str:
    """A small one: 1e-05 as "10⁻⁵"; one that is no power of ten in two digits, as "1.3e-12"."""
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    if float(mantissa) != 1:
        return f"{value:.2g}"
    digits = str(abs(int(exponent))).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{'⁻' if int(exponent) < 0 else ''}{digits}"


def decimal(value: float | None) -> str:
    """Four significant digits, without trailing zeros; whole numbers from 1,000 on."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - four digits


def number(value: int | None) -> str:
    """12903 as "12,903"."""
    return UNKNOWN if value is None else f"{value:,}"


def count(value: int, noun: str) -> str:
    """As in "1 sum" and "2,000 entries"."""
    if value == 1:
        return f"1 {noun}"
    return f"{value:,} {noun[:-1]}ies" if noun.endswith("y") else f"{value:,} {noun}s"


def span(values: Sequence[int]) -> str:
    """As in "20" and "14 to 20"; empty for none."""
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def listed(parts: Sequence[str]) -> str:
    """As in "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else "none"


def moment(seconds: int) -> str:
    """Unix seconds as "2027-01-31 14:05 UTC"."""
    if not 0 < seconds <= LATEST:
        return UNKNOWN
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def day(seconds: int) -> str:
    """Unix seconds as "2027-01-31"."""
    return moment(seconds)[:10] if 0 < seconds <= LATEST else UNKNOWN


def visible(value: object) -> object:
    """A string without characters that hide, reorder or break what stands beside them.

    Direction overrides and control characters would let a policy's name rewrite how a figure beside it reads.
    Anything but a plain string (markup that is already escaped, numbers) is returned as it is.
    """
    if type(value) is not str:
        return value
    return "".join("\ufffd" if _hidden(character) else character for character in value)


def one_line(value: str, most: int = 300) -> str:
    """A string on one line, visible, of at most `most` characters."""
    line = str(visible(" ".join(value.split())))
    return line if len(line) <= most else line[: most - 1] + "…"


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in INVISIBLE and character not in HARMLESS
