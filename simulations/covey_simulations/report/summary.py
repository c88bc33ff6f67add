"""What a report says beyond its facts: derived figures, and which words fit them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from covey import metrics
from covey.metrics import Rate
from covey_server.summary import Privacy
from covey_simulations.report import text
from covey_simulations.report.facts import DeviceResult, ReportFacts, Round, SentKind, VariantResult

MOST_MATRIX: Final = 30
"""Classes up to which the whole confusion matrix is shown."""
MOST_DEVICES: Final = 60
"""Devices up to which each has a line in a table."""
PARTS: Final = {
    "update": "change of the parameters",
    "gradient": "clipped gradients",
    "weight": "how many examples it stands for",
    "confusion": "counts of what was taken for what",
    "examples and right": "how many examples there were, and how many were right",
    "first": "mean of each channel",
    "second": "mean square of each channel",
}
"""What the parts of the known queries hold, in words."""
LOWEST: Final = 20
ROUND_LINES: Final = 25


@dataclass(frozen=True)
class Number:
    """One of the key numbers.

    Attributes:
        name: What it is.
        value: Formatted.
        note: What a reader should know with it; may be empty.
        simulated: Known only because this is a simulation.
        absent: There is no such number.
        alarm: It is bad news.
    """

    name: str
    value: str
    note: str = ""
    simulated: bool = False
    absent: bool = False
    alarm: bool = False


@dataclass(frozen=True)
class Spread:
    """How accuracy varies over the devices that have held-out examples."""

    devices: int
    lowest: float
    lower_quartile: float
    median: float
    upper_quartile: float
    highest: float
    worst: str
    examples: str


@dataclass(frozen=True)
class ClassLine:
    """One class of the confusion matrix.

    Attributes:
        label: Its name.
        cells: Count and shade (a CSS percentage, "" for none) by predicted class.
        examples: Its row's sum.
        missed: Those taken for another class.
        rate: The false-negative rate.
        taken_for: The class it is most often mistaken for, with the count; "" when never.
    """

    label: str
    cells: tuple[tuple[int, str], ...]
    examples: int
    missed: int
    rate: Rate
    taken_for: str


@dataclass(frozen=True)
class DeviceLine:
    """One device in the table."""

    result: DeviceResult
    rate: Rate


def key_numbers(facts: ReportFacts) -> tuple[Number, ...]:
    """What a reader looks for first."""
    int8 = facts.variants.get("int8")
    served, served_name = (int8, "int8") if int8 else (facts.variants.get("fp32"), "fp32")
    federated = facts.accuracy_federated
    return (
        Number(
            "Accuracy, federated",
            text.percent(federated),
            _counted(facts) if text.measured(federated) else "",
            absent=not text.measured(federated),
        ),
        _epsilon(facts.privacy),
        _yardstick(facts),
        Number(
            "Accuracy, int8",
            text.percent(int8.accuracy if int8 else None),
            _against_fp32(facts, int8),
            simulated=int8 is not None,
            absent=int8 is None,
        ),
        Number("Package", text.size(facts.package_bytes), "one signed file")
        if facts.package
        else Number("Package", "not built", absent=True),
        Number(
            "Latency, median",
            text.micros(served.p50_us if served else None),
            f"{served_name}, one input, this machine" if served else "",
            absent=served is None,
        ),
        Number("Devices", text.count(facts.all_devices), _cohort(facts.rounds)),
        Number("Rounds", text.count(len(facts.rounds)), _validated(facts.rounds) if facts.rounds else ""),
    )


def _counted(facts: ReportFacts) -> str:
    """How the accuracy was counted; where that was with noise, what a simulation counts without."""
    noise = facts.protection.accuracy_noise
    if not noise:
        return "on all held-out examples"
    noisy = f"by a sum with noise of {text.deviation(noise)}"
    return f"{noisy}; exactly {text.percent(facts.accuracy_exact)} (simulation only)"


def _epsilon(privacy: Privacy) -> Number:
    if privacy.epsilon_server is None:
        return Number("Privacy, ε", "none", "no noise was added: no promise", alarm=True)
    seeded = "; from a seed: protects nobody" if privacy.simulated else ""
    note = f"for each {privacy.unit}, δ = {text.small(privacy.delta)}, against the server{seeded}"
    return Number("Privacy, ε", f"{privacy.epsilon_server:g}", note)


def _yardstick(facts: ReportFacts) -> Number:
    """What the accuracy is measured against: pooled data, or else the run beside."""
    central, beside = facts.accuracy_central, facts.beside
    if central is None and beside is not None:
        other = beside.summary
        noiseless = other.privacy.noise == "none"
        return Number(
            "Accuracy, without noise" if noiseless else "Accuracy, run beside",
            text.percent(other.accuracy_fp32),
            f"{other.name}, {other.model}",
            simulated=True,
        )
    return Number(
        "Accuracy, pooled data",
        text.percent(central),
        _difference(facts.accuracy_federated, central),
        simulated=central is not None,
        absent=not text.measured(central),
    )


def spread(devices: Sequence[DeviceResult]) -> Spread | None:
    """Quartiles over devices; None when no device has an accuracy."""
    known = [(d.accuracy, d) for d in devices if text.measured(d.accuracy)]
    if not known:
        return None
    values = [value for value, _ in known]
    low, lower, median, upper, high = (float(v) for v in np.quantile(values, (0, 0.25, 0.5, 0.75, 1)))
    worst = [device.name for value, device in known if value == low]
    held_out = [device.held_out_examples for _, device in known]
    return Spread(
        len(known), low, lower, median, upper, high, _some(worst), _range(min(held_out), max(held_out))
    )


def guess(confusion: metrics.Counts) -> float:
    """Accuracy of always naming the commonest class: chance level, when classes are equally common."""
    totals = confusion.sum(axis=1)
    return float(totals.max() / totals.sum()) if totals.sum() > 0 else 1 / max(len(totals), 1)


def class_lines(
    labels: Sequence[str], confusion: metrics.Counts, noise: float = 0.0
) -> tuple[ClassLine, ...]:
    """The confusion matrix, line by line.

    Args:
        labels: One per class.
        confusion: (classes, classes); with noise, fractions that may lie below 0. They are rounded and
            raised to 0 where they are shown, not before they are added up.
        noise: Standard deviation of each count's own noise. A mistake within two of them may be none.
    """
    rates = [_widened(rate, len(labels), noise) for rate in metrics.false_negatives(confusion)]
    return tuple(
        _class_line(place, labels, confusion[place], rate, noise) for place, rate in enumerate(rates)
    )


def device_lines(devices: Sequence[DeviceResult]) -> tuple[DeviceLine, ...]:
    """All devices as given; only those with the lowest accuracy when there are many."""
    shown: Sequence[DeviceResult] = devices
    if len(devices) > MOST_DEVICES:
        known = [(d.accuracy, d.name, d) for d in devices if text.measured(d.accuracy)]
        shown = [device for _, _, device in sorted(known, key=lambda entry: entry[:2])[:LOWEST]]
    return tuple(DeviceLine(device, _device_rate(device)) for device in shown)


def round_lines(rounds: Sequence[Round]) -> tuple[Round, ...]:
    """All rounds; of many, those validated, and of many such, some spread evenly from first to last."""
    if len(rounds) <= ROUND_LINES:
        return tuple(rounds)
    shown = [r for r in rounds if text.measured(r.accuracy)] or rounds
    places = np.linspace(0, len(shown) - 1, min(len(shown), ROUND_LINES)).round()
    return tuple(shown[int(place)] for place in places)


def variant_lines(facts: ReportFacts) -> tuple[tuple[str, VariantResult | None, float | None], ...]:
    """Name, result and accuracy against fp32 of fp32, int8 and whatever else was built."""
    fp32 = facts.variants.get("fp32")
    lines = []
    for name in dict.fromkeys(("fp32", "int8", *facts.variants)):
        result = facts.variants.get(name)
        against = result.accuracy - fp32.accuracy if result and fp32 and name != "fp32" else None
        lines.append((name, result, against))
    return tuple(lines)


def sent_in_all(sent: Sequence[SentKind]) -> int:
    """Bytes of one device over the run, all kinds."""
    return sum(kind.bytes_per_device for kind in sent)


def _class_line(
    place: int, labels: Sequence[str], row: metrics.Counts, rate: Rate, noise: float
) -> ClassLine:
    shown = np.maximum(np.rint(row), 0).astype(np.int64)
    total = max(round(float(row.sum())), 0)
    mistaken = np.delete(row, place)
    other = int(mistaken.argmax()) if len(mistaken) else 0
    most = float(mistaken[other]) if len(mistaken) else 0.0
    return ClassLine(
        label=labels[place],
        cells=tuple((int(n), _shade(int(n), total, rare=column != place)) for column, n in enumerate(shown)),
        examples=total,
        missed=max(round(float(mistaken.sum())), 0),
        rate=rate,
        taken_for=f"{labels[other + (other >= place)]} ({text.count(most)})" if most > 2 * noise else "",
    )


def _widened(rate: Rate, classes: int, noise: float) -> Rate:
    """A false-negative rate with an interval that covers the noise of its counts, too, to first order."""
    if not noise or rate.trials <= 0:
        return rate
    share = rate.value
    moved = metrics.Z95 * noise * math.sqrt((classes - 1) * (1 - share) ** 2 + share**2) / rate.trials
    low, high = (math.hypot(share - end, moved) for end in (rate.low, rate.high))
    return Rate(share, max(share - low, 0.0), min(share + high, 1.0), rate.trials)


def _shade(number: int, total: int, *, rare: bool) -> str:
    """Share of the row as a tint that leaves text readable; its root where it would be too pale."""
    if number <= 0 or total <= 0:
        return ""
    share = number / total
    return f"{5 + 45 * (share**0.5 if rare else share):.0f}%"


def _device_rate(device: DeviceResult) -> Rate:
    hits = (device.accuracy or 0.0) * device.held_out_examples
    return metrics.wilson(hits, device.held_out_examples if text.measured(device.accuracy) else 0)


def _difference(federated: float, central: float | None) -> str:
    if central is None:
        return "no model was trained on pooled data"
    if not text.measured(central) or not text.measured(federated):
        return ""
    points = text.points(federated - central)
    if points.startswith("±"):
        return "the same as federated"
    return f"federated is {points[1:]} {'higher' if federated > central else 'lower'}"


def _against_fp32(facts: ReportFacts, int8: VariantResult | None) -> str:
    fp32 = facts.variants.get("fp32")
    if int8 is None:
        return "no int8 model was built"
    return f"{text.points(int8.accuracy - fp32.accuracy)} against fp32" if fp32 else ""


def _cohort(rounds: Sequence[Round]) -> str:
    if not rounds:
        return ""
    took_part = [r.devices for r in rounds]
    return f"{_range(min(took_part), max(took_part))} in a round"


def _validated(rounds: Sequence[Round]) -> str:
    return f"{text.count(sum(r.accuracy is not None for r in rounds))} of them validated"


def _range(low: int, high: int) -> str:
    return text.count(low) if low == high else f"{text.count(low)} to {text.count(high)}"


def _some(names: Sequence[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {text.count(rest)} more" if rest > 0 else "")
