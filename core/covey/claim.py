"""What a run says of its own privacy, in figures and in one line: computed from its sums alone.

Who ran it writes this into the run's summary, and who audits it computes it anew and compares every word.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from covey.accounting import Epsilon, round_up
from covey.plan import Masks
from covey.spending import Asked, Sum, spent

DECIMALS: Final = 3
"""That a stated ε is rounded up to."""

CENTRAL: Final = "central"
"""In the place of a mechanism: the server adds the noise, and everybody has to trust it."""

_HIDDEN: Final[dict[Masks, str]] = {
    "none": "NO MASKS: the server saw every answer",
    "elided": "masks elided: a simulation that skips them",
    "on": "masked sums: the server saw no single answer",
}
"""What each way of masking hides, worst first."""


class Privacy(msgspec.Struct, frozen=True, kw_only=True):
    """What protected a run's sums, and what they cost.

    Attributes:
        masks: "on", "elided" or "none": of all sums the worst.
        noise: "skellam", "discrete-gaussian" or, if a sum had none, "none"; "central" if the server added it.
        simulated: Whether noise was drawn from a seed: the ε are what a fleet would have, and protect nobody.
        unit: What the ε are about: one example, or one device's whole contribution.
        delta: δ of the whole run.
        epsilon_server: ε against the server and the devices it may control; null without noise, and where the
            server added it. Rounded up.
        epsilon_release: ε against an outsider who sees only what is released; null without noise. Rounded up.
        sums: Private sums that were asked for, by kind; each counts, also if it was not opened.
        unopened: How many were not opened.
        statement: The claim in words.
    """

    masks: str
    noise: str
    simulated: bool
    unit: str
    delta: float
    epsilon_server: float | None
    epsilon_release: float | None
    sums: dict[str, int]
    unopened: int
    statement: str

    @property
    def is_central(self) -> bool:
        """Whether the server added the noise, so that there is an ε for the release and none against it."""
        return self.noise == CENTRAL and self.epsilon_release is not None


def privacy_of(sums: Iterable[Sum], delta: float) -> Privacy:
    """What protected sums of one unit, and what they cost.

    Args:
        sums: At least one.
        delta: δ of them all together.
    """
    known = list(sums)
    asked = [each for each, _ in known]
    cost = spent(known, delta)
    masks = min((each.masks for each in asked), key=list(_HIDDEN).index)
    server, release = _stated(cost.server), _stated(cost.release)
    hidden = _HIDDEN[masks]
    if server is None and release is not None:
        trusted = (
            "THE SERVER ADDS THE NOISE and is trusted with every sum (central DP): no ε against it;"
            f" ε = {release} for the release if it does as it should, δ = {delta:g}, unit {cost.unit};"
            " SIMULATION ONLY: no fleet is offered this"
            f"{', and this noise came from a seed' if cost.simulated else ''}"
        )
        statement = f"{hidden}; {trusted}"
    elif server is None or release is None:
        statement = f"{hidden}; NO NOISE: no differential privacy"
    else:
        claim = f"ε = {server} against the server, {release} for the release, δ = {delta:g}, unit {cost.unit}"
        seeded = "; SIMULATION: noise from a seed protects nobody; the same settings on a fleet give these ε"
        statement = f"{hidden}; {claim}{seeded if cost.simulated else ''}"
    return Privacy(
        masks=masks,
        noise=_mechanism(asked),
        simulated=cost.simulated,
        unit=cost.unit,
        delta=delta,
        epsilon_server=server,
        epsilon_release=release,
        sums=cost.sums,
        unopened=cost.unopened,
        statement=statement,
    )


def _stated(cost: Epsilon | None) -> float | None:
    return None if cost is None else round_up(cost.value, DECIMALS)


def _mechanism(asked: list[Asked]) -> str:
    mechanisms = [_mechanism_of(each) for each in asked]
    return next((each for each in ("none", CENTRAL) if each in mechanisms), mechanisms[0])


def _mechanism_of(asked: Asked) -> str:
    if asked.central is not None:
        return CENTRAL
    return asked.noise.mechanism if asked.noise else "none"
