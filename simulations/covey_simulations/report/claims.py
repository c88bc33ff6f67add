"""What a report says of protection, in plain words, and no more than holds."""

from dataclasses import dataclass
from typing import Final

from covey_server.summary import Privacy
from covey_simulations.report import text
from covey_simulations.report.protection import Protection

NONE: Final = "none"
NO_GUARANTEE: Final = (
    "Nothing in this report is a privacy guarantee: a device's vector, a sum, and the model itself "
    "can reveal what the data held."
)
UNITS: Final = {
    "example": "one example of one device, there or blank in its place",
    "device": "everything that one device contributes, replaced by zeros",
}
"""What two runs may differ in that nobody can tell apart well."""

PERSONS: Final = {
    "example": "Persons. The promise is for a single example; to someone with hundreds of them on a device "
    "it promises far less.",
    "device": "Persons. The promise is for a device, which is a person only if each person has one device.",
}


@dataclass(frozen=True)
class Notice:
    """What protected the sums, before anything else is said of them.

    Attributes:
        level: "danger" where masks or noise were left out, else "caution": it is a simulation.
        heading: In a few words.
        sentences: In full.
    """

    level: str
    heading: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """One adversary.

    Attributes:
        who: In words.
        epsilon: ε against it, rounded up.
        sees: What it is assumed to know.
    """

    who: str
    epsilon: float
    sees: str


def notice(privacy: Privacy) -> Notice:
    """What the server could see, and what that is worth."""
    masks_off, noise_off = privacy.masks == NONE, privacy.noise == NONE
    return Notice(
        "danger" if masks_off or noise_off else "caution",
        _heading(privacy),
        (_masked(privacy.masks), *_noised(privacy)),
    )


def _heading(privacy: Privacy) -> str:
    if privacy.noise == NONE:
        return {
            "on": "NO NOISE: masked, but not differentially private",
            "elided": "NO NOISE, and masks were skipped: nothing protected the answers in this run",
        }.get(privacy.masks, "NO MASKS, NO NOISE: nothing protected the devices' answers in this run")
    if privacy.masks == NONE:
        return "NO MASKS: noisy, but the server saw every device's answer"
    masked = "masked and noised" if privacy.masks == "on" else "masks skipped; noised"
    if privacy.simulated:
        return f"SIMULATION: {masked} as on a fleet, but this noise protects nobody"
    return f"SIMULATION: {masked}, on a machine that holds all data"


def _masked(masks: str) -> str:
    return {
        "on": "Masks hid each device's answer from the server, which could read sums only.",
        "elided": "Masks were skipped to save time (elided); every number is what it would be with them.",
    }.get(masks, "No masks: the server saw each device's answer in clear.")


def _noised(privacy: Privacy) -> tuple[str, ...]:
    if privacy.epsilon_server is None:
        return ("No noise was added, and no differential privacy is claimed.", NO_GUARANTEE)
    claim = (
        f"Over the whole run ε = {privacy.epsilon_server:g} against the server and "
        f"{privacy.epsilon_release:g} against whoever sees only what is released, "
        f"at δ = {text.small(privacy.delta)}, for each {privacy.unit}."
    )
    if privacy.simulated:
        source = (
            "The noise was drawn from the seed, so that the run can be repeated; whoever knows the seed can "
            "take it off again. The same settings on a fleet, where devices draw from their operating "
            "systems, give these ε."
        )
    else:
        source = (
            "The noise was drawn from the operating system, as on a fleet: the run cannot be repeated. The "
            "promise is for the fp32 model and the sums. It does not reach what is marked simulation only, "
            "which was counted without noise."
        )
    return claim, source


def views(privacy: Privacy, protection: Protection) -> tuple[View, ...]:
    """ε by adversary; none without noise."""
    if privacy.epsilon_server is None or privacy.epsilon_release is None:
        return ()
    corrupt = max((kind.corrupt for kind in protection.kinds), default=0)
    with_it = f" with up to {text.count(corrupt)} enrolled device{'s' * (corrupt != 1)} on its side"
    sums = (
        "every opened sum, and the noise of its own devices: only the noise that honest ones must have added "
        "counts"
    )
    answers = "every device's answer by itself: only the noise that this device added counts"
    return (
        View(
            f"The server{with_it if corrupt else ''}",
            privacy.epsilon_server,
            answers if privacy.masks == NONE else sums,
        ),
        View(
            "Anyone who sees only what is released",
            privacy.epsilon_release,
            "models and figures: all noise that was left in the sums counts",
        ),
    )


def assumptions(privacy: Privacy, protection: Protection) -> tuple[str, ...]:
    """What the numbers rest on."""
    if not protection.kinds:
        return ()
    minimum = min(kind.minimum for kind in protection.kinds)
    corrupt = max(kind.corrupt for kind in protection.kinds)
    asked = max(kind.asked for kind in protection.kinds)
    lines = [f"A sum was opened only with the answers of at least {minimum} of up to {asked} devices asked."]
    if privacy.masks == "on" or privacy.noise != NONE:
        lines.append(
            f"At most {corrupt} of all enrolled devices (C_max) {'is' if corrupt == 1 else 'are'} taken to "
            f"side with the server. That leaves {minimum - corrupt} honest devices in the smallest sum."
        )
    if privacy.noise != NONE:
        lines.append(
            "Without masks a device's own noise alone gives the ε against the server."
            if privacy.masks == NONE
            else "The noise of those honest devices alone gives the ε against the server. If more devices "
            "side with it, the ε is larger than stated."
        )
        lines.append(f"The promise is about {UNITS[privacy.unit]}. It covers all sums, also unopened ones.")
    return tuple(lines)


def uncovered(privacy: Privacy, protection: Protection) -> tuple[str, ...]:
    """What nothing here protects."""
    present = "Who took part: the server sees which devices answered, from where, when, and how fast."
    if privacy.noise == NONE:
        return ("Anything: without noise, the model and every figure may reveal examples.", present)
    corrupt = max((kind.corrupt for kind in protection.kinds), default=0)
    seeded = "Anybody, in this run: its noise came from a seed. It shows what a fleet would get."
    return (
        *((seeded,) if privacy.simulated else ()),
        present,
        _cheats(corrupt),
        PERSONS[privacy.unit],
        "Other runs on the same data: what they cost is added to what this one cost.",
    )


def _cheats(corrupt: int) -> str:
    allowed = f"{corrupt} {'is' if corrupt == 1 else 'are'} allowed for"
    return (
        f"Devices that cheat. One that leaves out its noise weakens the promise to all others ({allowed}). "
        "One that makes up its answer can spoil the model, and masks hide that it did."
    )
