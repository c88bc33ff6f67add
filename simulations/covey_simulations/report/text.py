"""Numbers and names as people read them. What is None or not finite reads "not measured"."""

import math
import unicodedata
from typing import TypeGuard

from covey.metrics import Rate

NOT_MEASURED = "not measured"
SPACE = "\u00a0"  # between a number and its unit: never a line break
MINUS = "\u2212"
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})  # Unicode categories without a glyph of their own
HARMLESS = "\n\t\u200c\u200d"  # the joiners shape words in several scripts


def measured(value: float | None) -> TypeGuard[float]:
    """Whether there is a number to show."""
    return value is not None and math.isfinite(value)


def percent(share: float | None) -> str:
    """0.9531 as "95.3 %"."""
    return NOT_MEASURED if not measured(share) else f"{100 * share:.1f}{SPACE}%"


def points(difference: float | None) -> str:
    """A difference of shares, signed: -0.0112 as "-1.1 points"."""
    if not measured(difference):
        return NOT_MEASURED
    text = f"{abs(100 * difference):.1f}"
    sign = "±" if text == "0.0" else "+" if difference > 0 else MINUS
    return f"{sign}{text}{SPACE}points"


def deviation(share: float | None) -> str:
    """A standard deviation of a share: 0.0141 as "±1.4 points"."""
    return NOT_MEASURED if not measured(share) else f"±{100 * share:.1f}{SPACE}points"


def tenths(number: float | None) -> str:
    """One decimal."""
    return NOT_MEASURED if not measured(number) else f"{number:,.1f}"


def small(number: float) -> str:
    """A probability such as 1e-05: "10⁻⁵"; one that is no power of ten in four digits."""
    mantissa, _, exponent = f"{number:.3e}".partition("e")
    digits = str(abs(int(exponent))).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    sign = "⁻" if int(exponent) < 0 else ""
    return f"10{sign}{digits}" if float(mantissa) == 1 else f"{number:.4g}"


def interval(rate: Rate) -> str:
    """The 95 % interval of a rate: "3.1-7.9 %"; nothing is known without trials."""
    if rate.trials <= 0:
        return NOT_MEASURED
    return f"{100 * rate.low:.1f}\u2013{100 * rate.high:.1f}{SPACE}%"


def count(number: float | None) -> str:
    """12903 as "12,903"."""
    return NOT_MEASURED if not measured(number) else f"{number:,.0f}"


def decimal(number: float | None) -> str:
    """Four significant digits, without trailing zeros."""
    return NOT_MEASURED if not measured(number) else f"{number:,.4g}"


def size(number: float | None) -> str:
    """Bytes in decimal units: 37105 as "37.1 kB"."""
    if not measured(number):
        return NOT_MEASURED
    if number < 1000:  # noqa: PLR2004 - the unit's definition
        return f"{number:.0f}{SPACE}B"
    return _scaled(number, ((1e3, "kB"), (1e6, "MB"), (1e9, "GB")))


def micros(number: float | None) -> str:
    """Microseconds: "8.4 µs", "82 µs", "1.23 ms", "2.1 s"."""
    if not measured(number):
        return NOT_MEASURED
    if number < 1000:  # noqa: PLR2004 - a millisecond
        return f"{number:.{0 if number >= 10 else 1}f}{SPACE}µs"  # noqa: PLR2004 - two digits in all
    return _scaled(number, ((1e3, "ms"), (1e6, "s")))


def seconds(number: float | None) -> str:
    """Wall time: "0.84 s", "12.3 s", "3 min 12 s", "1 h 4 min"."""
    if not measured(number):
        return NOT_MEASURED
    if number < 60:  # noqa: PLR2004 - a minute
        return f"{number:.{1 if number >= 10 else 2}f}{SPACE}s"  # noqa: PLR2004 - three digits in all
    minutes, rest = divmod(round(number), 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return f"{minutes}{SPACE}min {rest}{SPACE}s"
    return f"{minutes // 60}{SPACE}h {minutes % 60}{SPACE}min"


def energy(number: float | None) -> str:
    """Joules: "0.41 J", "12 J", "3.2 kJ"."""
    if not measured(number):
        return NOT_MEASURED
    scaled, unit = (number / 1000, "kJ") if number >= 1000 else (number, "J")  # noqa: PLR2004 - the unit
    return f"{scaled:,.3g}{SPACE}{unit}"


def hours(number: float | None) -> str:
    """Simulated time: 0.004 as "14.4 s", 18.5 as "18.5 h", 60 as "2.5 days"."""
    if not measured(number):
        return NOT_MEASURED
    if number < 1:
        return seconds(3600 * number)
    return f"{number:.1f}{SPACE}h" if number < 48 else f"{number / 24:.1f}{SPACE}days"  # noqa: PLR2004 - two days


def visible(value: object) -> object:
    """A string without characters that hide, reorder or break what stands beside them.

    Direction overrides and control characters would let a device's name rewrite how a hash or a figure next
    to it reads. Anything but a plain string (markup that is already escaped, numbers) is returned as it is.
    """
    if type(value) is not str:
        return value
    return "".join("\ufffd" if _hidden(character) else character for character in value)


def short(name: str, most: int = 22) -> str:
    """A name on one line of at most `most` characters, for a chart's axis."""
    line = str(visible(" ".join(name.split())))
    return line if len(line) <= most else line[: most - 1] + "…"


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in INVISIBLE and character not in HARMLESS


def _scaled(number: float, units: tuple[tuple[float, str], ...]) -> str:
    factor, unit = [pair for pair in units if number >= pair[0]][-1]
    value = number / factor
    return f"{value:.{max(0, 3 - len(str(int(value))))}f}{SPACE}{unit}"
