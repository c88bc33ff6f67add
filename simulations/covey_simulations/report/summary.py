"""What a report says beyond its facts: derived figures, and which words fit them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey import metrics
from covey.metrics import Rate
from covey_server.summary import Privacy
from covey_simulations.report import text
from covey_simulations.report.facts import DeviceResult, ReportFacts, Round, SentKind, VariantResult

NONE: Final = "none"
NO_GUARANTEE: Final = (
    "Nothing in this report is a privacy guarantee: a device's vector, a sum, and the model itself "
    "can reveal what the data held."
)
MOST_MATRIX: Final = 30
"""Classes up to which the whole confusion matrix is shown."""
MOST_DEVICES: Final = 60
"""Devices up to which each has a line in a table."""
PARTS: Final = {
    "update": "change of the parameters",
    "weight": "how many examples it stands for",
    "confusion": "counts of what was taken for what",
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
    """

    name: str
    value: str
    note: str = ""
    simulated: bool = False
    absent: bool = False


@dataclass(frozen=True)
class Notice:
    """What protected the sums.

    Attributes:
        level: "danger" when the server saw single vectors, "caution" when something protected them.
        heading: In a few words.
        sentences: In full.
    """

    level: str
    heading: str
    sentences: tuple[str, ...]


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
    federated, central = facts.accuracy_federated, facts.accuracy_central
    return (
        Number(
            "Accuracy, federated",
            text.percent(federated),
            "on all held-out examples" if text.measured(federated) else "",
            absent=not text.measured(federated),
        ),
        Number(
            "Accuracy, pooled data",
            text.percent(central),
            _difference(federated, central),
            simulated=central is not None,
            absent=not text.measured(central),
        ),
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
        Number("Devices", text.count(len(facts.devices)), _cohort(facts.rounds)),
        Number("Rounds", text.count(len(facts.rounds)), _validated(facts.rounds) if facts.rounds else ""),
    )


def protection(privacy: Privacy) -> Notice:
    """Plain words on what the server could see, and what that is worth."""
    masked = {
        "on": "Masks hid each device's vector from the server, which saw sums only.",
        "elided": "Masks were skipped to save time (elided); every number is what it would be with them.",
    }.get(privacy.masks, "The server saw each device's vector in clear (masks: none).")
    if privacy.epsilon_server is None:
        noised = "No noise was added, and no differential privacy is claimed."
    else:
        noised = privacy.statement
    level = "caution" if privacy.masks != NONE else "danger"
    heading = {
        (True, True): "Nothing protected the devices' answers in this run",
        (True, False): "Noisy, but the server saw every device's answer",
        (False, True): "Masked, but not differentially private",
        (False, False): "Masked and noised",
    }[privacy.masks == NONE, privacy.noise == NONE]
    return Notice(level, heading, (masked, noised, NO_GUARANTEE))


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


def guess(confusion: NDArray[np.int64]) -> float:
    """Accuracy of always naming the commonest class: chance level, when classes are equally common."""
    totals = confusion.sum(axis=1)
    return float(totals.max() / totals.sum()) if totals.sum() > 0 else 1 / max(len(totals), 1)


def class_lines(labels: Sequence[str], confusion: NDArray[np.int64]) -> tuple[ClassLine, ...]:
    """The confusion matrix, line by line."""
    rates = metrics.false_negatives(confusion)
    return tuple(_class_line(place, labels, confusion[place], rate) for place, rate in enumerate(rates))


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


def _class_line(place: int, labels: Sequence[str], row: NDArray[np.int64], rate: Rate) -> ClassLine:
    total = int(row.sum())
    mistaken = row.copy()
    mistaken[place] = 0
    other = int(mistaken.argmax())
    return ClassLine(
        label=labels[place],
        cells=tuple((int(n), _shade(int(n), total, rare=column != place)) for column, n in enumerate(row)),
        examples=total,
        missed=int(mistaken.sum()),
        rate=rate,
        taken_for=f"{labels[other]} ({text.count(int(mistaken[other]))})" if mistaken[other] > 0 else "",
    )


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
