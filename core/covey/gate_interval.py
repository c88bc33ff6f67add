"""Confidence intervals for rates whose counts carry noise: chance in the examples and noise in the cells.

Examples count as independent draws. Those of one device resemble each other, which a sum cannot show: of few
devices with many examples each, the true uncertainty is larger than what is said here.

Counts of a device may have been scaled down to a clip norm. A sum of rows that weigh at most one varies no
more than as many whole examples would, so the intervals hold for the weighted rates.
"""

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Interval:
    """An estimate and how far the truth may be from it.

    Attributes:
        estimate: Best guess; 0 where nothing is known.
        low: Lower end.
        high: Upper end.
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Noisy:
    """A number from opened sums.

    Attributes:
        value: As it was opened.
        deviation: Standard deviation of the noise on it.
    """

    value: float
    deviation: float


def paired(difference: Noisy, discordant: float, examples: Noisy, z: float) -> Interval:
    """The interval of how much more often one of two models is right than the other, on the same examples.

    With b and c examples that only one of them decides right, the variance of (b - c) is at most b + c. Two
    are added to examples and to b + c, as in the adjusted Wald interval of Bonett and Price, which keeps its
    coverage where no example is decided differently: "Adjusted Wald confidence interval for a difference of
    binomial proportions based on paired data", Journal of Educational and Behavioral Statistics 37 (2012),
    479-488. Their term that makes the variance smaller, -(b - c)²/n, is left out.

    Args:
        difference: b - c.
        discordant: b + c, or a bound above it.
        examples: How many.
        z: Quantile of the normal distribution.
    """
    chance = max(discordant, abs(difference.value), 0.0) + 2.0
    variance = chance + difference.deviation**2
    return ratio(difference.value, variance, Noisy(examples.value + 2.0, examples.deviation), z)


def ratio(numerator: float, variance: float, denominator: Noisy, z: float) -> Interval:
    """The interval of a ratio of two independent, normal numbers, cut off at -1 and 1.

    All D for which (numerator - D·denominator)² ≤ z²·(variance + D²·deviation²). It grows with the noise, and
    is everything where the noise hides whether the denominator is above 0.

    Source: E. C. Fieller, "Some problems in interval estimation", Journal of the Royal Statistical Society B
    16 (1954), 175-185.

    Args:
        numerator: As it was opened.
        variance: Of it, chance and noise together.
        denominator: Positive but for the noise on it.
        z: Quantile of the normal distribution.
    """
    value, deviation = denominator.value, denominator.deviation
    certain = value * value - (z * deviation) ** 2
    if value <= 0 or certain <= 0:
        return Interval(_within(numerator / value, -1.0) if value > 0 else 0.0, -1.0, 1.0)
    half = z * sqrt((deviation * numerator) ** 2 + variance * certain)
    low, high = ((numerator * value + side * half) / certain for side in (-1, 1))
    return Interval(_within(numerator / value, -1.0), _within(low, -1.0), _within(high, -1.0))


def share(events: float, examples: float, deviation: float, z: float) -> Interval:
    """The interval of one rate, in 0..1: Wilson's (see `covey.metrics.wilson`), widened for the noise.

    All p for which (events - p·examples)² ≤ z²·(n·p·(1 - p) + (1 + p²)·deviation²), with n the most examples
    that the noise allows. Without noise it is Wilson's to the digit. Events that noise took below 0 or above
    the examples count as that many: else the interval would be empty just where nothing is known for certain.

    Args:
        events: Noisy count of them.
        examples: Noisy number of examples.
        deviation: Of the noise on either.
        z: Quantile of the normal distribution.
    """
    spread, noise = z * z * (examples + z * deviation), (z * deviation) ** 2
    a = examples * examples + spread - noise
    if examples <= z * deviation or a <= 0:
        return Interval(_within(events / examples, 0.0) if examples > 0 else 0.0, 0.0, 1.0)
    events = min(max(events, 0.0), examples)
    b, c = 2 * events * examples + spread, events * events - noise
    half = sqrt(max(b * b - 4 * a * c, 0.0))
    low, high = ((b + side * half) / (2 * a) for side in (-1, 1))
    return Interval(_within(events / examples, 0.0), _within(low, 0.0), _within(high, 0.0))


def _within(value: float, least: float) -> float:
    return min(max(value, least), 1.0)
