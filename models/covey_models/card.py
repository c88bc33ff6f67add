"""The model card: what a model decides, from what, how well, and where it fails, in plain words.

After Mitchell et al., "Model Cards for Model Reporting", arXiv:1810.03993.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from covey.metrics import Rate
from covey_models.front_matter import Node, front_matter

NOT_MEASURED, NOT_STATED = "not measured", "not stated"

HUB_LICENCES = frozenset({"apache-2.0", "bsd-3-clause", "bsd-2-clause", "cc-by-4.0", "cc0-1.0", "mit"})
"""Of SPDX's identifiers, in lower case, those the Hub knows and Covey's models use; others are "other"."""

HUB_TASKS = frozenset({"image-classification", "audio-classification", "tabular-classification"})
"""The Hub's pipeline tags that fit a classifier of arrays; it has none for time series."""


@dataclass(frozen=True)
class Measured:
    """One variant on examples that no device trained on.

    Attributes:
        accuracy: Share of right decisions.
        false_negatives: One per label, in the labels' order: the share of its examples that were missed.
        size_bytes: The ONNX file's size.
    """

    accuracy: Rate
    false_negatives: tuple[Rate, ...]
    size_bytes: int


@dataclass(frozen=True)
class CardFacts:
    """What a card states. None says that it is not known; the card then says so.

    Attributes:
        name: The model's name.
        summary: One line: what it decides, from what.
        licence: SPDX identifier of the weights.
        task: A Hub task ("image-classification"), or another name of the kind of task.
        architecture: Where the architecture comes from.
        parameters: How many numbers were trained.
        input_shape: Of one input, without the batch axis.
        input_units: What one input number is.
        labels: One name per class.
        data_name: The data set's name.
        data_citation: What to cite for it.
        data_licence: SPDX identifier of the data, or words.
        data_split: How the examples it was measured on were kept apart from the training examples.
        synthetic: The data was generated, not recorded.
        devices: How many devices took part.
        rounds: How many rounds were run.
        strategy: How answers were combined ("FedAdam, rate 0.03").
        masks: "on", "elided" or "none"; what hid single answers from the server (secure aggregation).
        noise: The law of the noise on the sums, or "none".
        privacy: The claim in words, computed from the run's own record of its sums.
        fp32: Figures of the float32 variant.
        int8: Figures of the int8 variant.
        calibration: Method and data of the int8 activation ranges.
        limits: Sentences: where it should not be trusted.
    """

    name: str
    summary: str
    licence: str
    task: str
    architecture: str
    parameters: int
    input_shape: tuple[int, ...]
    input_units: str
    labels: tuple[str, ...]
    data_name: str
    data_citation: str | None = None
    data_licence: str | None = None
    data_split: str | None = None
    synthetic: bool = False
    devices: int | None = None
    rounds: int | None = None
    strategy: str | None = None
    masks: str | None = None
    noise: str | None = None
    privacy: str | None = None
    fp32: Measured | None = None
    int8: Measured | None = None
    calibration: str | None = None
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, found in (("fp32", self.fp32), ("int8", self.int8)):
            if found is not None and len(found.false_negatives) != len(self.labels):
                raise ValueError(f"{name}: {len(found.false_negatives)} rates for {len(self.labels)} labels")

    @property
    def variants(self) -> dict[str, Measured]:
        """The variants that were measured on at least one example, by name."""
        both = {"fp32": self.fp32, "int8": self.int8}
        return {
            name: found for name, found in both.items() if found is not None and found.accuracy.trials > 0
        }


def card(facts: CardFacts) -> str:
    """The card as Markdown with front matter."""
    sections = (_decides, _data, _training, _figures, _misses, _limits)
    body = [f"# {_inline(facts.name)}", *("\n".join(section(facts)) for section in sections)]
    return front_matter(_metadata(facts)) + "\n" + "\n\n".join(body) + "\n"


def _metadata(facts: CardFacts) -> dict[str, Node]:
    fields: dict[str, Node] = {**_licence(facts.licence), "library_name": "onnx"}
    if facts.task in HUB_TASKS:
        fields["pipeline_tag"] = facts.task
    fields["tags"] = ["covey", "federated-learning", "onnx", facts.task]
    if facts.variants:
        fields |= {"metrics": ["accuracy"], "model-index": [_index(facts)]}
    return fields


def _licence(spdx: str) -> dict[str, Node]:
    known = spdx.lower()
    return {"license": known} if known in HUB_LICENCES else {"license": "other", "license_name": spdx}


def _index(facts: CardFacts) -> Node:
    metrics: list[Node] = [
        {"type": "accuracy", "name": f"Accuracy ({variant})", "value": found.accuracy.value}
        for variant, found in facts.variants.items()
    ]
    dataset = {
        "type": re.sub(r"[^a-z0-9]+", "-", facts.data_name.lower()).strip("-"),
        "name": facts.data_name,
    }
    return {
        "name": facts.name,
        "results": [{"task": {"type": facts.task}, "dataset": dataset, "metrics": metrics}],
    }


def _decides(facts: CardFacts) -> list[str]:
    shape = " x ".join(map(str, facts.input_shape))
    return [
        "## What it decides",
        "",
        f"{_sentence(facts.summary)}",
        "",
        f"- Answers: {', '.join(map(_inline, facts.labels))}.",
        f"- One input: {shape} numbers ({_inline(facts.input_units)}), scaled as the package says.",
        f"- {facts.parameters:,} parameters. {_sentence(facts.architecture)}",
    ]


def _data(facts: CardFacts) -> list[str]:
    kind = " The data is **synthetic**: generated, not recorded." if facts.synthetic else ""
    return [
        "## Data",
        "",
        f"{_sentence(facts.data_name)}{kind}",
        "",
        f"- Cite: {_stated(facts.data_citation)}",
        f"- Licence: {_stated(facts.data_licence)}",
        f"- Kept apart for the figures below: {_stated(facts.data_split)}",
    ]


def _training(facts: CardFacts) -> list[str]:
    return [
        "## How it was trained",
        "",
        "Federated: a device answers with vectors, not with examples.",
        "",
        f"- Devices: {_stated(facts.devices)}",
        f"- Rounds: {_stated(facts.rounds)}",
        f"- Strategy: {_stated(facts.strategy)}",
        f"- Masks (secure aggregation): {_masks(facts.masks)}",
        f"- Noise: {_stated(facts.noise)}",
        f"- Differential privacy: {facts.privacy or 'no ε is claimed'}",
    ]


def _masks(masks: str | None) -> str:
    match masks:
        case None:
            return NOT_STATED
        case "on":
            return "yes: the server saw sums only"
        case "elided":
            return "**no**: a simulation skipped them, with every number as it would be with them"
        case _:
            return "**no**: the server could see each device's update"


def _figures(facts: CardFacts) -> list[str]:
    rows = [_figure("float32", facts.fp32), _figure("int8", facts.int8)]
    return [
        "## Figures",
        "",
        "Intervals are 95 % (Wilson): what chance in the choice of examples allows, nothing else.",
        "",
        *_table(("variant", "accuracy", "examples", "size"), rows),
        "",
        f"int8 calibration: {_stated(facts.calibration)}",
    ]


def _figure(name: str, found: Measured | None) -> tuple[str, ...]:
    if found is None:
        return (name, NOT_MEASURED, "", "")
    return (name, _percent(found.accuracy), f"{found.accuracy.trials:,.0f}", f"{found.size_bytes:,} bytes")


def _misses(facts: CardFacts) -> list[str]:
    fp32 = facts.fp32.false_negatives if facts.fp32 else ()
    int8 = facts.int8.false_negatives if facts.int8 else ()
    rows = [
        (_inline(label), _percent(a), _percent(b)) for label, a, b in zip_longest(facts.labels, fp32, int8)
    ]
    return [
        "## What it misses",
        "",
        "False negatives: of the examples of a class, the share taken for another.",
        "",
        *_table(("class", "float32", "int8"), rows),
    ]


def _limits(facts: CardFacts) -> list[str]:
    return ["## Limits", "", *(f"- {_sentence(each)}" for each in facts.limits or (NOT_STATED,))]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def _percent(rate: Rate | None) -> str:
    if rate is None or rate.trials <= 0:
        return NOT_MEASURED
    return f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})".replace("%", " %")


def _stated(value: str | int | None) -> str:
    return NOT_STATED if value is None or value == "" else _inline(str(value))


def _sentence(text: str) -> str:
    line = _inline(text)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _inline(text: str) -> str:
    """On one line, and without the signs that open HTML or a table cell in Markdown."""
    line = " ".join(text.split())
    return line.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
