"""Metrics from counts: what an evaluation sums, and what a reader is told with its uncertainty.

A confusion matrix is an array (classes, classes): rows are the true classes, columns the predicted ones.
Counts that came out of a private sum carry noise and may be fractional or negative; they are accepted.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]
Counts = NDArray[np.int64] | NDArray[np.float64]

Z95 = 1.959963984540054  # two-sided 95 % quantile of the standard normal distribution


@dataclass(frozen=True)
class Rate:
    """A proportion with its 95 % confidence interval.

    Attributes:
        value: Events per trial, 0..1; NaN without trials.
        low: Lower end of the interval, 0..1.
        high: Upper end of the interval, 0..1.
        trials: What `value` is a proportion of.
    """

    value: float
    low: float
    high: float
    trials: float


def wilson(events: float, trials: float, z: float = Z95) -> Rate:
    """The score interval for a proportion.

    It stays inside 0..1 and keeps its coverage for small counts and rates near 0, where the interval
    p ± z·sqrt(p(1-p)/n) shrinks to a point. It knows of sampling only, not of noise added to the counts.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (1927), 209-212.

    Args:
        events: Taken to lie in 0..trials; noised counts outside are moved to the nearer end.
        trials: Without trials (<= 0) nothing is known: NaN in 0..1.
        z: Quantile of the normal distribution; the default gives 95 %.
    """
    if trials <= 0:
        return Rate(math.nan, 0.0, 1.0, 0.0)
    share = min(max(events / trials, 0.0), 1.0)
    weight = z * z / trials
    centre = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight * weight / 4) / (1 + weight)
    return Rate(share, max(centre - half, 0.0), min(centre + half, 1.0), trials)


def count(truth: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Confusion counts, int64 (classes, classes), of two label arrays (n,) with values below `classes`."""
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def cross_entropies(logits: Logits, truth: Labels) -> NDArray[np.float64]:
    """Cross-entropy in nats of each row of logits (n, classes) against its label, shape (n,)."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=1, keepdims=True)
    log_total = top[:, 0] + np.log(np.exp(wide - top).sum(axis=1))
    losses: NDArray[np.float64] = log_total - wide[np.arange(len(truth)), truth]
    return losses


def accuracy(confusion: Counts) -> Rate:
    """Share of examples on the diagonal."""
    return wilson(float(np.trace(confusion)), float(confusion.sum()))


def false_negatives(confusion: Counts) -> tuple[Rate, ...]:
    """For each class, the share of its examples that were taken for another class."""
    totals, hits = confusion.sum(axis=1), np.diagonal(confusion)
    return tuple(wilson(float(n - hit), float(n)) for n, hit in zip(totals, hits, strict=True))


def false_positives(confusion: Counts) -> tuple[Rate, ...]:
    """For each class, the share of the other classes' examples that were taken for it."""
    hits = np.diagonal(confusion)
    wrong, others = confusion.sum(axis=0) - hits, confusion.sum() - confusion.sum(axis=1)
    return tuple(wilson(float(events), float(n)) for events, n in zip(wrong, others, strict=True))


def macro_f1(confusion: Counts) -> float:
    """Mean over classes of 2·TP / (2·TP + FP + FN), over the classes that occur; NaN if none does."""
    hits = np.diagonal(confusion).astype(np.float64)
    involved = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = involved > 0
    return float((2 * hits[present] / involved[present]).mean()) if present.any() else math.nan
