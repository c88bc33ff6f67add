"""What may follow what in a machine, as data that the machine itself obeys; and its picture."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from covey.plan import Profile


@dataclass(frozen=True, slots=True)
class Transition:
    """One arrow.

    Attributes:
        before: The state's type; None before there is one.
        event: What happens: on a device the type of request, on the server the end of a stage.
        after: The state's type that follows.
        profile: In which profile only; None for all.
    """

    before: type | None
    event: str
    after: type
    profile: Profile | None = None


def find(
    transitions: Iterable[Transition], before: Any, event: str, profile: Profile | None = None
) -> Transition | None:
    """The arrow that leaves a state at an event; None if there is none in this profile.

    Args:
        transitions: The machine's.
        before: The state itself.
        event: What happens.
        profile: Of the plan.
    """
    return next(
        (
            each
            for each in transitions
            if (each.before, each.event) == (type(before), event) and each.profile in {None, profile}
        ),
        None,
    )


def mermaid(transitions: Iterable[Transition]) -> str:
    """The state diagram in Mermaid's language; states without an arrow out are ends."""
    arrows = tuple(transitions)
    lines = ["stateDiagram-v2", *(f"    {_arrow(each)}" for each in arrows)]
    leaving = {each.before for each in arrows}
    ends = dict.fromkeys(each.after for each in arrows if each.after not in leaving)
    return "\n".join([*lines, *(f"    {end.__name__} --> [*]" for end in ends)]) + "\n"


def _arrow(each: Transition) -> str:
    before = "[*]" if each.before is None else each.before.__name__
    condition = f" ({each.profile})" if each.profile else ""
    return f"{before} --> {each.after.__name__}: {each.event}{condition}"
