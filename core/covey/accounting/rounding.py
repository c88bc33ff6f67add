"""Decimals on the safe side: a claim rounded up, a budget rounded down."""

from fractions import Fraction
from math import ceil, floor, isfinite

SLACK = 1e-12
"""What floating-point evaluation of a formula may be off by, relatively; its true error is nearer 1e-15."""


def round_up(value: float, digits: int) -> float:
    """The least decimal of `digits` places that is at least `value`; infinities stay."""
    return ceil(Fraction(value) * 10**digits) / 10**digits if isfinite(value) else value


def round_down(value: float, digits: int) -> float:
    """The greatest decimal of `digits` places that is at most `value`; infinities stay."""
    return floor(Fraction(value) * 10**digits) / 10**digits if isfinite(value) else value
