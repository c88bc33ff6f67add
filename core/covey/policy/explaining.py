"""A policy in plain words, for someone who decides about it and does not read code.

Two rules for every sentence: it follows from the policy and from what devices enforce, and it never says more
than that. What rests on an assumption says so; what is not promised stands at the end.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from covey.policy.explaining_cost import cost_points, meaning_points
from covey.policy.explaining_limits import assumption_points, unpromised_points
from covey.policy.terms import KINDS, Option, Policy, Query, QueryKind, exact, rate
from covey.policy.wording import count, listed, one_line
from covey.policy.worst import worst

__all__ = ["Section", "as_text", "explain", "worst"]

ASKS: Final[dict[QueryKind, str]] = {
    "train": "take part in training: answer with a change to the model, computed from the device's data",
    "validate": "measure a model, or two beside each other: answer with counts, on data kept apart",
    "calibrate": "measure how large numbers inside the model become: answer with counts of ranges",
    "statistics": "describe the inputs: answer with their mean and spread, channel by channel",
    "drift": "tell whether inputs have changed (this version has no such question)",
    "health": "tell whether a rollout of a new model went well on the device: answer with one count",
}
WEIGHS: Final[dict[QueryKind, str]] = {
    "train": "The change that one {} asks for is cut to length {} (the clip norm) before it is used",
    "validate": "At most {1} examples of one device count",
    "calibrate": "At most {1} examples of one device count",
    "statistics": "At most {1} examples of one device count",
    "drift": "What one {} gives is cut to {}",
    "health": "A device gives one count; no more than {1} of one device are let through",
}


BESIDE: Final[dict[Option, str]] = {
    "control-variates": (
        "a device keeps a correction of its own from round to round, and its answer also has how that"
        " changed: one more list as long as the update, in the same noisy sum"
    ),
    "personal-parameters": (
        "a device keeps some of the model's numbers for itself and never sends them; it is measured with its"
        " own"
    ),
    "clip-indicator": (
        "the answer also says whether the update was shorter than the length it is cut to: one more number in"
        " the same noisy sum. That length then changes from round to round, up to the clip norm above"
    ),
}


@dataclass(frozen=True)
class Section:
    """A heading and its points.

    Attributes:
        title: The heading.
        points: One idea each, in full sentences.
    """

    title: str
    points: tuple[str, ...]


def explain(policy: Policy) -> tuple[Section, ...]:
    """What a policy allows, what that can reveal at worst, what it rests on, and what it does not promise."""
    return tuple(
        Section(title, tuple(points))
        for title, points in (
            ("What it is", _identity(policy)),
            ("What devices may be asked", _questions(policy)),
            ("What all answers together can reveal at worst", cost_points(policy, worst(policy))),
            ("What these numbers mean for a person", meaning_points(policy)),
            ("What this rests on", assumption_points(policy)),
            ("What is NOT promised", unpromised_points(policy)),
        )
    )


def as_text(sections: Iterable[Section]) -> str:
    """Sections as plain lines, not wrapped: a title, then a line for each point."""
    lines = [
        line
        for section in sections
        for line in (section.title, *(f"  - {point}" for point in section.points), "")
    ]
    return "\n".join(lines)


def _identity(policy: Policy) -> Iterator[str]:
    if policy.simulation:
        yield (
            "A SIMULATION'S POLICY. Its devices are not real, their noise may be drawn from a known seed,"
            " and it protects nobody. What follows is what the same numbers would mean for a real fleet."
        )
    yield f'Policy "{policy.name}", serial {policy.serial}, for the devices of fleet "{policy.fleet}".'
    if policy.previous:
        yield f"It replaces the policy whose text has the SHA-256 {policy.previous}."
    yield (
        f'Its purpose, in the words of those who sign: "{one_line(policy.purpose)}" No machine can check what'
        " results are used for: the purpose binds people."
    )
    yield (
        f"It holds from {policy.valid_from.text} to {policy.valid_until.text}, both days included (UTC)."
        " Before and after, devices refuse everything."
    )
    yield (
        f"It needs the signature of {count(policy.signatures, 'reviewer')}; a device may be set up to ask"
        " for more."
    )


def _questions(policy: Policy) -> Iterator[str]:
    if not policy.queries:
        yield "Nothing: devices under this policy answer no question at all."
        return
    for kind in KINDS:
        if kind in policy.queries:
            yield from _question(kind, policy.queries[kind], policy.budget.unit)
    yield (
        f"In its whole life a device gives at most {count(policy.budget.answers, 'answer')}, of all kinds"
        " and under all policies together."
    )
    yield (
        "Everything else is refused by the device. Data do not leave it: an answer is one list of numbers,"
        " masked so that the server reads no more than the noisy sum over many devices, if what is listed"
        " below holds."
    )


def _question(kind: QueryKind, query: Query, unit: str) -> Iterator[str]:
    yield f"{kind}: {ASKS[kind]}. It is about {listed(query.models, 'model')}."
    yield f"{kind}, how often: {_how_often(query)}."
    yield (
        f"{kind}, in company: a sum is opened only if at least {query.minimum} devices are in it."
        f" {WEIGHS[kind].format(unit, query.clip)}."
    )
    yield (
        f"{kind}, noise: honest devices alone add random noise to each sum whose standard deviation is at"
        f" least {query.noise_multiplier} times the most that one {unit} can change the sum (the noise"
        " multiplier)."
    )
    for option in query.options:
        yield f"{kind}, with {option}: {BESIDE[option]}."
    if kind == "train" and exact(query.sampling_rate) != 1:
        yield (
            f"{kind}, chance: each example joins a sum with a chance of at most {query.sampling_rate}, by a"
            " coin that the device tosses in secret."
        )


def _how_often(query: Query) -> str:
    limit = rate(query)
    often = f"at most {count(query.answers, 'answer')} of one device in its whole life"
    if limit is None:
        return f"{often}; nothing limits how fast they are asked for"
    period = query.rate_limit.partition(" per ")[2]
    return f"{often}, and at most {limit[0]:,} within any stretch of one {period}"
