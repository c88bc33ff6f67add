"""What Flower's own privacy accountant kept of a run, and what that comes to.

Flower (from 1.42 on) counts central differential privacy with fixed clipping: `RdpAccountant.state_dict()`
lists Gaussian sums and how clients were sampled for them. It is read here strictly, without Flower, and
computed again: by our closed form at the integer orders of `covey.accounting`, by dp-accounting at the same
orders and at the state's own, and by Opacus where it is installed. A state is a list of numbers that its
owner wrote. What it does not show is in `NOT_PROVEN`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import isfinite
from typing import Annotated, Final, Literal

import msgspec

from covey.errors import InputError

MAX_BYTES: Final = 16 << 20
MOST_KINDS: Final = 1000
"""Different sums for which ε is computed; more are refused rather than waited for."""

Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Whole = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
Order = Annotated[float, msgspec.Meta(gt=1, le=1 << 20)]
Sampling = Literal["poisson", "without-replacement", "no-amplification"]
Neighbours = Literal["add-or-remove-one", "replace-one"]

NOT_PROVEN: Final = (
    "Who wrote it: it carries no signature, and no log shows that nothing was taken out.",
    "That clients' updates were clipped, and that this much noise was added to their sum.",
    "That the noise cannot be guessed: Flower draws floats from NumPy's generator, which is no cipher.",
    "That the server saw sums only: noise is added centrally; without secure aggregation it sees updates.",
    "That as many clients answered as were counted: drop-outs are not in it.",
    "That clients were chosen at random as it says, and that nobody saw who was.",
    "Who took part, how large the population was, and that one client is one person.",
    "What else was asked of the same data: evaluation, other runs, settings chosen by trying.",
)
"""What nobody can learn from a state, each in words that go on from "it does not show"."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Flower's `PrivacyConfig`.

    Attributes:
        target_delta: δ.
        population_size: Clients that are sampled from.
        neighboring_relation: What two neighbouring populations differ in.
        sampling_method: How clients are said to be chosen.
        max_epsilon: The budget; None for none.
    """

    target_delta: Probability
    population_size: Whole
    neighboring_relation: Neighbours
    sampling_method: Sampling
    max_epsilon: Annotated[float, msgspec.Meta(gt=0)] | None


class Gaussian(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Flower's `GaussianPrivacyEvent`.

    Attributes:
        noise_multiplier: z: standard deviation of the noise over the clip norm.
        sample_size: Clients in the sum; with Poisson sampling, expected.
        population_size: Clients that were sampled from.
    """

    noise_multiplier: Annotated[float, msgspec.Meta(ge=1e-3, le=1e9)]
    sample_size: Whole
    population_size: Whole

    @property
    def rate(self) -> float:
        """q, the share of the population in one sum."""
        return self.sample_size / self.population_size


class Composition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of sum, and how often it was taken."""

    event: Gaussian
    count: Whole


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Flower's accountant as JSON, schema version 1.

    Attributes:
        schema_version: Of this format.
        backend: How Flower accounts.
        config: What it accounts for.
        orders: Rényi orders that Flower asks for.
        compositions: The sums.
    """

    schema_version: Literal[1]
    backend: Literal["rdp"]
    config: Config
    orders: Annotated[tuple[Order, ...], msgspec.Meta(min_length=1, max_length=1000)]
    compositions: Annotated[tuple[Composition, ...], msgspec.Meta(max_length=1_000_000)]

    @property
    def counted(self) -> tuple[tuple[Gaussian, int], ...]:
        """Different sums, each with how often it was taken in all."""
        found: Counter[Gaussian] = Counter()
        for each in self.compositions:
            found[each.event] += each.count
        return tuple(found.items())

    @property
    def sums(self) -> int:
        """How many there were."""
        return sum(each.count for each in self.compositions)


@dataclass(frozen=True)
class Recomputed:
    """What a state's sums come to at one δ.

    Attributes:
        delta: δ.
        flower: ε by dp-accounting at the state's own orders: what Flower itself would say.
        closed: ε by our closed form; None for sampling without replacement, for which we have none.
        dp_accounting: ε by dp-accounting at the orders of the closed form; None likewise.
        opacus: ε by Opacus at the same orders; None where it is not installed, and likewise.
        budget: The state's own limit; None for none.
    """

    delta: float
    flower: float
    closed: float | None
    dp_accounting: float | None
    opacus: float | None
    budget: float | None

    @property
    def greatest(self) -> float:
        """The largest of them all: the one to rely on if they differ."""
        known = (self.flower, self.closed, self.dp_accounting, self.opacus)
        return max(each for each in known if each is not None)

    @property
    def gap(self) -> float:
        """By how much the others differ from the closed form at the same orders, relatively."""
        if not self.closed:
            return 0.0
        others = [each for each in (self.dp_accounting, self.opacus) if each is not None]
        return max((abs(each - self.closed) / self.closed for each in others), default=0.0)


def read(data: bytes, source: str) -> State:
    """Read a state strictly.

    Args:
        data: JSON of `RdpAccountant.state_dict()`.
        source: The file's name, for messages.

    Raises:
        InputError: Too large, malformed, of another version, or inconsistent in itself.
    """
    hint = "write it with json.dumps(accountant.state_dict()) and do not change it"
    if len(data) > MAX_BYTES:
        raise InputError(f"{source}: {len(data)} bytes, at most {MAX_BYTES}")
    try:
        state = msgspec.json.decode(data, type=State)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{source}: not a state of Flower's RdpAccountant: {error}", hint=hint) from error
    for fault in _faults(state):
        raise InputError(f"{source}: {fault}", hint=hint)
    return state


def recompute(state: State, delta: float | None = None) -> Recomputed:
    """ε of a state's sums, by everything that is installed.

    Args:
        state: As read.
        delta: δ; None for the state's own.

    Raises:
        InputError: δ or a rate is unusable, or there are too many different sums.
    """
    at = state.config.target_delta if delta is None else delta
    if len(state.counted) > MOST_KINDS:
        raise InputError(f"{len(state.counted)} different sums, at most {MOST_KINDS}", hint="split the state")
    replaced = state.config.sampling_method == "without-replacement"
    return Recomputed(
        delta=at,
        flower=_with_dp_accounting(state, state.orders, at),
        closed=None if replaced else closed_form(state, at),
        dp_accounting=None if replaced else _with_dp_accounting(state, _orders(), at),
        opacus=_with_opacus(state, at) if find_spec("opacus") and not replaced else None,
        budget=state.config.max_epsilon,
    )


def closed_form(state: State, delta: float) -> float:
    """ε of Gaussian sums, each (0, 1/(2z²))-zCDP, sampled by coins at rate q or not at all.

    Source: Bun and Steinke, TCC 2016, arXiv:1605.02065, Proposition 1.6, for the Gaussian; sampling and
    conversion as in `covey.accounting.sampling` and `covey.accounting.zcdp`.

    Args:
        state: Sampled by coins ("poisson") or not ("no-amplification").
        delta: δ.

    Raises:
        InputError: δ is unusable.
    """
    from covey.accounting.sampling import amplified  # noqa: PLC0415 - brings NumPy
    from covey.accounting.zcdp import ORDERS, Zcdp, from_curve  # noqa: PLC0415 - idem

    curve = [0.0] * len(ORDERS)
    for event, count in state.counted:
        line = Zcdp(1 / (2 * event.noise_multiplier**2))
        for place, order in enumerate(ORDERS):
            curve[place] += count * amplified(_rate(state, event), order, (line,))
    return from_curve(curve, delta)[0]


def _faults(state: State) -> list[str]:
    """What makes a state one that Flower cannot have written."""
    config = state.config
    relation = "replace-one" if config.sampling_method == "without-replacement" else "add-or-remove-one"
    faults = []
    if config.neighboring_relation != relation:
        faults.append(f"{config.sampling_method} sampling with neighbours by {config.neighboring_relation}")
    if config.max_epsilon is not None and not isfinite(config.max_epsilon):
        faults.append("a budget that is not finite")
    for event, _ in state.counted:
        if event.population_size != config.population_size:
            faults.append(f"a sum over a population of {event.population_size}, not {config.population_size}")
        elif event.sample_size > event.population_size:
            faults.append(f"a sum of {event.sample_size} clients of {event.population_size}")
    return faults


def _rate(state: State, event: Gaussian) -> float:
    """The rate that amplifies."""
    return event.rate if state.config.sampling_method == "poisson" else 1.0


def _orders() -> tuple[int, ...]:
    from covey.accounting.zcdp import ORDERS  # noqa: PLC0415 - brings NumPy

    return ORDERS


def _with_dp_accounting(state: State, orders: Sequence[float], delta: float) -> float:
    from dp_accounting import (  # noqa: PLC0415 - nearly a second to import
        GaussianDpEvent,
        NeighboringRelation,
        PoissonSampledDpEvent,
        SampledWithoutReplacementDpEvent,
    )
    from dp_accounting.rdp import RdpAccountant  # noqa: PLC0415 - idem

    replaced = state.config.sampling_method == "without-replacement"
    relation = NeighboringRelation.REPLACE_ONE if replaced else NeighboringRelation.ADD_OR_REMOVE_ONE
    accountant = RdpAccountant(orders=list(orders), neighboring_relation=relation)
    for event, count in state.counted:
        gaussian = GaussianDpEvent(event.noise_multiplier)
        if replaced:
            sampled = SampledWithoutReplacementDpEvent(event.population_size, event.sample_size, gaussian)
        elif state.config.sampling_method == "poisson":
            sampled = PoissonSampledDpEvent(event.rate, gaussian)
        else:
            sampled = gaussian
        accountant.compose(sampled, count)
    return float(accountant.get_epsilon(delta))


def _with_opacus(state: State, delta: float) -> float:
    from covey_audit.accountants import gaussians_with_opacus  # noqa: PLC0415 - as above

    return gaussians_with_opacus(
        [(event.noise_multiplier, _rate(state, event), count) for event, count in state.counted], delta
    )
