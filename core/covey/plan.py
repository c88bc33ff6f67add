"""The plan: what the server asks of a cohort in one round, and the one strict decoder for it.

One plan, one private sum. The task says what a device computes; the parts say how its answer is laid
out, clipped and scaled; masks and noise say what protects the sum. Everything that a claim about the sum is
computed from stands here, and a device checks it before it touches its data.
"""

import hashlib
from collections.abc import Iterator
from math import inf, isfinite, sqrt
from typing import Annotated, Literal

import msgspec

from covey.accounting.norms import rounded_norms
from covey.encode import Part, squared_sensitivity
from covey.errors import InputError, PlanRefused, ProtocolError
from covey.examples import Standardise
from covey.noise.draw import Mechanism
from covey.noise.removal import LARGEST_TOLERANCE, local_shares
from covey.noise.table import LARGEST_VARIANCE
from covey.secagg.graph import quorum
from covey.secagg.masks import Cipher

VERSION: Literal[2] = 2
MAX_PLAN_BYTES = 1 << 20
MOST_PARTS = 16  # a query has three; tens of thousands of them take seconds to add up exactly
MOST_POINTS = 256  # tensors whose ranges are asked for at once
MOST_PERSONAL = 1024  # parameters of one model
MOST_RINGS = 8
MOST_GROUPS = 16
SMALLEST_SUM = 2  # a sum over one device is that device's answer
SMALLEST_COHORT, LARGEST_COHORT = 10, 500  # of the malicious-server profile
MOST_BANDS = 1 << 10
LARGEST_GRAPH = 10_000  # of the semi-honest-server profile
TAIL = 14  # standard deviations of noise that must fit beside the sum

Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Personal = Annotated[tuple[Name, ...], msgspec.Meta(max_length=MOST_PERSONAL)]
Weighting = Literal["devices", "examples"]
Unit = Literal["device", "example"]
Masks = Literal["on", "elided", "none"]
Profile = Literal["malicious-server", "semi-honest-server"]


class Train(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="train"):
    """Train locally from the model sent; answer with the weighted update.

    Attributes:
        epochs: Passes over the local examples.
        batch_size: Examples a step.
        learning_rate: Of the local SGD, this round.
        momentum: Of the local SGD, from zero each round.
        gradient_clip: Largest L2 norm of one batch's gradient; 0 for no limit.
        proximal_mu: Weight of ½‖w - w_global‖² (FedProx, arXiv:1812.06127).
        weighting: "devices": each device counts once. "examples": by its examples, up to examples_cap.
        examples_cap: Public constant: a device's weight is min(examples / cap, 1).
        update_clip: Largest L2 norm of an update.
        control_clip: Above 0: control variates (SCAFFOLD, arXiv:1910.06378) travel with the model, and the
            answer has one more part, the change of the device's own, of at most this L2 norm.
        personal: Parameters that never leave the device, which keeps its own (FedPer, arXiv:1912.00818).
        within: The answer says as well whether the update was within `update_clip` (arXiv:1905.03871).
    """

    epochs: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    learning_rate: Positive
    momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    gradient_clip: NotNegative
    proximal_mu: NotNegative
    weighting: Weighting
    examples_cap: Count
    update_clip: Positive
    control_clip: NotNegative = 0.0
    personal: Personal = ()
    within: bool = False


class Gradient(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="gradient"):
    """One step of distributed DP-SGD: clipped gradients of a secret Poisson sample of examples.

    Source: Abadi et al., CCS 2016, arXiv:1607.00133, algorithm 1, with the sum over devices and its noise
    inside the private sum. The unit of privacy is one example.

    Attributes:
        sampling_rate: q: each example joins with this probability, by the device's own coins.
        augmentations: Gradients of so many augmented copies are averaged within one example, before the clip;
            0 for the example as it is.
        gradient_clip: Largest L2 norm of one example's gradient.
        learning_rate: The mean update is minus this times the summed gradients over `expected_batch`.
        expected_batch: Public constant by which the sum is divided; never a sampled or true count.
        examples_cap: Public constant: a device uses at most its first so many examples.
    """

    sampling_rate: Annotated[float, msgspec.Meta(gt=0, le=1)]
    augmentations: Annotated[int, msgspec.Meta(ge=0, le=256)]
    gradient_clip: Positive
    learning_rate: Positive
    expected_batch: Positive
    examples_cap: Count


class Validate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="validate"):
    """Evaluate the model sent on held-out examples; answer with confusion counts and summed loss.

    Attributes:
        examples_cap: Public constant. Unit device: the L2 norm to which a device's counts are clipped. Unit
            example: a device uses at most its first so many.
        personal: Parameters of which a device that has trained its own takes these.
    """

    examples_cap: Count
    personal: Personal = ()


class Statistics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="statistics"):
    """Answer with first and second moments per channel of the training inputs.

    Attributes:
        examples_cap: Public constant. Unit device: a device's weight is min(examples / cap, 1). Unit example:
            a device uses at most its first so many.
    """

    examples_cap: Count


class Observed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A place in the model whose range of values is asked for.

    Attributes:
        point: Number of the function call that gives the value; see `covey_models.observing`.
        scale: Public: about the largest value that is expected there.
    """

    point: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)]
    scale: Positive


class Calibrate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="calibrate"):
    """Answer with histograms of the largest and the smallest value at places inside the model sent.

    They give the ranges that int8 activations need, which a server without data cannot find itself.

    Attributes:
        points: The places.
        of: How many places the server's network has: a device whose network has another number counts
            something else.
        examples_cap: Public constant. Unit device: a device's weight is min(examples / cap, 1). Unit example:
            a device uses at most its first so many.
    """

    points: Annotated[tuple[Observed, ...], msgspec.Meta(min_length=1, max_length=MOST_POINTS)]
    of: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
    examples_cap: Count


class Compare(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="compare"):
    """Evaluate two releases on held-out examples, side by side; answer with counts.

    The models travel as ONNX files in arrays (`covey_models.carried`), "new" and, but for the first release,
    "old": what is compared is what devices will run, int8 or not.

    Attributes:
        examples_cap: As of `Validate`.
        groups: Public names of groups of devices, told apart so that none is worse off unseen. A device of
            none of them counts in the totals only.
        old_preprocessing: How the old release scales inputs; the plan's is the new one's.
    """

    examples_cap: Count
    groups: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MOST_GROUPS)] = ()
    old_preprocessing: Standardise | None = None


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="health"):
    """Answer with what became of a rollout on this device: one count, in its ring, or none.

    Attributes:
        rollout: Its identifier.
        image: SHA-256 of the archive that is rolled out.
        rings: How many rings its plan has.
    """

    rollout: Name
    image: Digest
    rings: Annotated[int, msgspec.Meta(ge=1, le=MOST_RINGS)]

    @property
    def examples_cap(self) -> int:
        """Rows of one device: its one count, whatever the unit of privacy."""
        return 1


Task = Train | Gradient | Validate | Statistics | Calibrate | Compare | Health
ANY_UNIT = Validate | Statistics | Calibrate | Compare | Health
"""Tasks that are asked for either unit of privacy."""


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How answers are masked.

    Attributes:
        profile: What the server is assumed to do. "malicious-server": anything; every device checks every
            other's signature, on a complete graph. "semi-honest-server": as the protocol says; a sparse
            graph, for more than 500 devices in one sum.
        cipher: Of the mask streams.
        bits: Of the modulus as sent: 2^bits.
        neighbours: Devices each one shares masks with; 0 for all others.
        threshold: Shares that open a secret; 0 for a majority of honest devices, which each device computes
            from the devices it is shown.
    """

    profile: Profile
    cipher: Cipher
    bits: Annotated[int, msgspec.Meta(ge=16, le=32)]
    neighbours: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_GRAPH)] = 0
    threshold: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_GRAPH)] = 0


class Noise(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What noise the devices add.

    Attributes:
        mechanism: Its law.
        variance: σ² of the noise that honest devices contribute to the sum together, squared integer units.
        removal: Whether noise beyond σ² is taken out again when fewer devices than tolerated drop out.
        seeded: Drawn from a simulation's seed: repeatable, and worth nothing as privacy.
    """

    mechanism: Mechanism
    variance: Annotated[int, msgspec.Meta(ge=1, le=1 << 52)]
    removal: bool
    seeded: bool


class CentralNoise(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Gaussian noise that the server adds to the sum: of simulations. Nothing protects a device from it.

    With more than one band the noise of a round takes back part of that of the rounds before (DP-FTRL with a
    banded matrix: see `covey.accounting.matrix`).

    Attributes:
        variance: Of the independent noise that a round adds, squared integer units.
        bands: Rounds over which noise is correlated; 1 for independent noise.
        separation: A device is asked at most once in so many rounds; at least `bands`.
        seeded: Drawn from a simulation's seed: repeatable.
    """

    variance: Annotated[int, msgspec.Meta(ge=1, le=1 << 62)]
    bands: Annotated[int, msgspec.Meta(ge=1, le=MOST_BANDS)]
    separation: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
    seeded: bool


class PolicyReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The signed policy that a plan appeals to.

    Attributes:
        sha256: Of the policy.
        serial: Of the policy.
    """

    sha256: Digest
    serial: Count


class RosterReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The roster of enrolled devices that a plan's cohort is taken from.

    Attributes:
        sha256: Of the roster as sent.
        serial: Of the roster.
    """

    sha256: Digest
    serial: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one private sum is made of.

    Attributes:
        version: Of this format.
        run: The run's identifier.
        sum: Serial number in the run. Rises with every sum asked for and is never used twice, not even after
            a crash; the cohorts of one round share it.
        round: The training round it belongs to; 0 comes before training.
        model: Name of the model.
        model_sha256: `covey.arrays.digest` of the parameters sent along.
        preprocessing: How inputs are scaled; None before statistics are known.
        task: What a device computes.
        parts: How a row is laid out.
        unit: What a row stands for: a device's whole answer, or one example's share of it.
        norm: Δ, the largest norm of a row before rounding, integer units.
        cohort: Most devices in the sum.
        cohorts: Sums that this serial number is divided into; a device takes part in one.
        cohort_number: Which of them, from 0.
        minimum: Fewest devices whose sum is opened.
        corrupt: C_max, the most devices of the whole roster that may side with the server.
        masks: "on"; "elided": as on, but nothing hides an answer (a simulation saves the time); or "none".
        suite: How masks are made; None unless they are on.
        noise: What makes the sum differentially private; None for nothing.
        roster: The roster; None unless masks are on.
        policy: The signed policy that allows it; None for an experiment that devices must be set up for.
        deadline: Unix seconds after which no device opens the plan; 0 for none.
        central: What the server adds to the sum, where devices add no noise; UNSET for nothing.
    """

    version: Literal[2] = VERSION
    run: Name
    sum: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
    round: Annotated[int, msgspec.Meta(ge=0, le=999_999)]
    model: Name
    model_sha256: Digest
    preprocessing: Standardise | None
    task: Task
    parts: Annotated[tuple[Part, ...], msgspec.Meta(max_length=MOST_PARTS)]
    unit: Unit
    norm: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
    cohort: Count
    cohorts: Count = 1
    cohort_number: Annotated[int, msgspec.Meta(ge=0)] = 0
    minimum: Count
    corrupt: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_GRAPH)] = 1
    masks: Masks
    suite: Suite | None = None
    noise: Noise | None = None
    roster: RosterReference | None = None
    policy: PolicyReference | None = None
    deadline: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)] = 0
    central: CentralNoise | msgspec.UnsetType = msgspec.UNSET

    @property
    def length(self) -> int:
        """d, elements of one answer."""
        return sum(part.length for part in self.parts)

    @property
    def bits(self) -> int:
        """Of the modulus as sent."""
        return self.suite.bits if self.suite else 32

    @property
    def honest(self) -> int:
        """h, the fewest honest devices in an opened sum."""
        return self.minimum - self.corrupt

    @property
    def rows(self) -> int:
        """The most rows that are added up."""
        return self.cohort * (1 if self.unit == "device" else self.task.examples_cap)


def check_current(plan: Plan, now: int) -> None:
    """Refuse, on a device, a plan that comes too late.

    Args:
        plan: The plan, with masks or without.
        now: Unix time, seconds.

    Raises:
        PlanRefused: Says by how much.
    """
    if plan.deadline and now > plan.deadline:
        raise PlanRefused(f"the plan's deadline was {now - plan.deadline} s ago")


def noise_shares(plan: Plan, sharing: int) -> tuple[int, ...]:
    """The variances of the noise vectors that one device adds; the first always stays in the sum.

    Args:
        plan: The plan.
        sharing: |U2|, the devices that have shared their keys.

    Returns:
        Squared integer units; empty without noise. With removal one for each tolerated drop-out and one more
        (XNoise, arXiv:2209.12528, corrected: see `covey.noise.removal`), else ⌈σ²/h⌉ alone.
    """
    if plan.noise is None:
        return ()
    return local_shares(
        plan.noise.variance,
        sharing=sharing,
        corrupt=plan.corrupt,
        minimum=plan.minimum,
        removal=plan.noise.removal,
    )


def kind(plan: Plan) -> str:
    """The query's name, as in its task: "train", "gradient", "validate" and so on."""
    return str(plan.task.__struct_config__.tag)


def to_bytes(plan: Plan) -> bytes:
    """The plan as sent (msgpack). Hash these bytes; never encode again in order to compare."""
    return msgspec.msgpack.encode(plan)


def digest(plan: bytes) -> str:
    """SHA-256 of the plan as sent, hexadecimal. An answer names the plan it answers by this."""
    return hashlib.sha256(b"covey/v1/plan\0" + plan).hexdigest()


def from_bytes(data: bytes) -> Plan:
    """Decode and check a plan.

    Raises:
        ProtocolError: Too large, malformed, of another version, or inconsistent. Blames the server.
    """
    if len(data) > MAX_PLAN_BYTES:
        raise ProtocolError(f"a plan of {len(data)} bytes, at most {MAX_PLAN_BYTES}", blame="server")
    try:
        plan = msgspec.msgpack.decode(data, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a malformed plan: {error}", blame="server") from error
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    try:
        for refusal in _refusals(plan):
            raise ProtocolError(f"a plan {refusal}", blame="server")
    except InputError as error:  # numbers that no formula takes
        raise ProtocolError(f"a plan whose {error.message}", blame="server") from error


def _refusals(plan: Plan) -> Iterator[str]:
    """What makes a plan inconsistent, in words that go on from "a plan"."""
    names = [part.name for part in plan.parts]
    if not names or len(set(names)) != len(names):
        yield "without parts, or with two of one name"
    if not SMALLEST_SUM <= plan.minimum <= plan.cohort:
        yield f"with a minimum of {plan.minimum} in a cohort of {plan.cohort}"
    if plan.cohort_number >= plan.cohorts:
        yield f"for cohort {plan.cohort_number} of {plan.cohorts}"
    yield from _task_refusals(plan)
    if plan.preprocessing is not None and not _can_scale(plan.preprocessing):
        yield "with preprocessing numbers that cannot scale an input"
    if (plan.masks == "on") != (plan.suite is not None) or (plan.masks == "on") != (plan.roster is not None):
        yield "whose masks, suite and roster do not go together"
    if plan.suite is not None:
        yield from _suite_refusals(plan, plan.suite)
    if plan.central is not msgspec.UNSET:
        yield from _central_refusals(plan, plan.central)
    if plan.noise is not None:
        yield from _noise_refusals(plan, plan.noise)
    elif not _fits(plan, 0):
        yield f"whose sum over {plan.cohort} devices could wrap around 2^{plan.bits}"


def _task_refusals(plan: Plan) -> Iterator[str]:
    if isinstance(plan.task, Gradient) != (plan.unit == "example") and not isinstance(plan.task, ANY_UNIT):
        yield f"that asks for {kind(plan)} with unit {plan.unit}"
    if isinstance(plan.task, Compare) and len(set(plan.task.groups)) != len(plan.task.groups):
        yield "with two groups of one name"
    if isinstance(plan.task, Train):
        yield from _train_refusals(plan.task)
    old = plan.task.old_preprocessing if isinstance(plan.task, Compare) else None
    if old is not None and not _can_scale(old):
        yield "with preprocessing numbers that cannot scale an input"


def _train_refusals(task: Train) -> Iterator[str]:
    if len(set(task.personal)) != len(task.personal):
        yield "that names a personal parameter twice"
    if task.control_clip and task.personal:
        yield "with control variates and personal parameters"
    if task.control_clip and (task.momentum or task.proximal_mu or task.weighting != "devices"):
        yield "with control variates beside momentum, a proximal term or weights"


def _central_refusals(plan: Plan, central: CentralNoise) -> Iterator[str]:
    if plan.noise is not None or plan.masks == "on":
        yield "with noise of the server's beside masks or noise of the devices"
    if central.bands > central.separation:
        yield f"that asks a device every {central.separation} rounds, with noise over {central.bands}"
    if squared_sensitivity(plan.parts) > plan.norm**2:
        yield f"whose parts are longer than its norm of {plan.norm}"


def _suite_refusals(plan: Plan, suite: Suite) -> Iterator[str]:
    if plan.corrupt < 1:
        yield "that assumes no corrupt device; the server may always have one"
    if plan.minimum < plan.corrupt + SMALLEST_SUM:
        yield f"whose minimum of {plan.minimum} may leave one honest device with {plan.corrupt} corrupt ones"
    if suite.profile == "malicious-server":
        if suite.neighbours or suite.threshold:
            yield "that sets the graph or the threshold itself"
        if not SMALLEST_COHORT <= plan.cohort <= LARGEST_COHORT:
            yield f"for a cohort of {plan.cohort}, allowed are {SMALLEST_COHORT} to {LARGEST_COHORT}"
        if plan.minimum < quorum(plan.cohort, plan.corrupt):
            yield f"whose minimum of {plan.minimum} is below the quorum {quorum(plan.cohort, plan.corrupt)}"
    else:
        if not SMALLEST_COHORT <= plan.cohort <= LARGEST_GRAPH:
            yield f"for a cohort of {plan.cohort}, allowed are {SMALLEST_COHORT} to {LARGEST_GRAPH}"
        degree = suite.neighbours
        if degree % 2 or not 0 < degree < plan.minimum or not degree < 2 * suite.threshold <= 2 * degree:
            yield f"with {degree} neighbours and a threshold of {suite.threshold}"


def _noise_refusals(plan: Plan, noise: Noise) -> Iterator[str]:
    if plan.honest < 1:
        yield f"whose minimum of {plan.minimum} leaves no honest device beside {plan.corrupt} corrupt ones"
        return
    if squared_sensitivity(plan.parts) > plan.norm**2:
        yield f"whose parts are longer than its norm of {plan.norm}"
    if noise.removal and noise.mechanism != "skellam":
        yield "that removes noise of a law that cannot be divided"
    elif noise.removal and plan.cohort - plan.minimum > LARGEST_TOLERANCE:
        yield f"that removes noise for {plan.cohort - plan.minimum} drop-outs, at most {LARGEST_TOLERANCE}"
    elif max(noise_shares(plan, plan.minimum)) > LARGEST_VARIANCE:
        yield f"that asks a device for noise of a variance above {LARGEST_VARIANCE}"
    elif not _fits(plan, plan.cohort * sum(noise_shares(plan, plan.cohort))):
        yield f"whose noisy sum over {plan.cohort} devices could wrap around 2^{plan.bits}"


def _fits(plan: Plan, variance: int) -> bool:
    """Whether rows and noise stay below half the modulus; noise but for the tail beyond 14 deviations."""
    longest = rounded_norms(max(float(plan.norm), sqrt(squared_sensitivity(plan.parts))), plan.length).l2
    return plan.rows * longest + TAIL * sqrt(variance) < 1 << (plan.bits - 1)


def _can_scale(preprocessing: Standardise) -> bool:
    """One finite mean and one finite positive deviation for each of at least one channel."""
    mean, deviation = preprocessing.mean, preprocessing.deviation
    in_range = all(map(isfinite, mean)) and all(0 < each < inf for each in deviation)
    return len(mean) == len(deviation) > 0 and in_range
