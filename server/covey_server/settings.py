"""What a person decides about a federation, as frozen structs read from TOML."""

from math import cos, pi
from typing import Annotated, Literal

import msgspec

from covey.errors import ConfigError
from covey.gate import GateLimits
from covey.package.manifest import ShortName
from covey.plan import (
    MOST_BANDS,
    MOST_RINGS,
    Compare,
    Digest,
    Gradient,
    Health,
    Profile,
    Train,
    Unit,
    Validate,
    Weighting,
)
from covey.secagg.masks import Cipher
from covey_server.strategy_settings import Schedule, StrategySettings

Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
RunName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,62}\Z")]
Calibration = Literal["private", "public", "pooled", "weights-only"]


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which model: one of the registry by name, or a Python file of one's own that defines MODEL."""

    name: str = ""
    file: str = ""


class FederationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rounds, cohorts, and the public constants that bound every answer; see `covey.plan.Train`."""

    rounds: Annotated[int, msgspec.Meta(ge=1, le=999_999)]
    devices_per_round: Annotated[int, msgspec.Meta(ge=0)] = 0
    minimum_devices: Annotated[int, msgspec.Meta(ge=0)] = 0
    final_devices: Annotated[int, msgspec.Meta(ge=0)] = 0
    validate_every: Count = 10
    weighting: Weighting = "examples"
    examples_cap: Count = 512
    update_clip: Positive = 10.0
    standardise: bool = True
    round_timeout: Positive = 3600.0

    def __post_init__(self) -> None:
        """Refuse the one number between "follows from dropouts" and a sum."""
        if self.minimum_devices == 1:
            raise ValueError("minimum_devices is 0, or at least 2: a sum over one device is its answer")

    def validates(self, server_round: int) -> bool:
        """Whether a round ends with a validation: some do, and the last one."""
        return server_round % self.validate_every == 0 or server_round == self.rounds


class PrivacySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What protects the sums. How much noise has no default: epsilon, or multipliers, or noise = false.

    Attributes:
        masks: Hide single answers from the server. "elided": a simulation skips them and changes no number.
        noise: Whether devices add any.
        unit: What a promise is about: one "example", with DP-SGD steps, or a whole "device".
        epsilon: Target ε of the whole run in the server's view; the least multipliers that keep it are found.
        delta: δ of the whole run.
        train_multiplier: Instead of epsilon: z of training sums.
        statistics_multiplier: z of the sum for standardisation.
        validate_multiplier: z of validation sums, comparisons of releases among them.
        calibrate_multiplier: z of the sum of ranges for int8.
        health_multiplier: z of sums of how a rollout went.
        health_share: With epsilon: the share of the budget that health sums take, where any are planned.
        corrupt: C_max, the most devices of the whole roster that may side with the server.
        dropouts: Share of a cohort that may drop out of a sum that is still opened; where
            federation.minimum_devices is not given.
        profile: "malicious-server", or "semi-honest-server" for sums over more than 500 devices.
        cipher: Of the masks: "aes-256-ctr" is faster where the processor has instructions for it.
        sensitivity: Δ, integer units that the clip norm is scaled to.
        remove_excess: Take off noise of devices that did not drop out; left out, wherever it can be done.
        largest_cohort: A round's devices are divided into sums of at most so many, each with noise of its
            own.
        noise_at: Who adds the noise. "devices": each its share, so that nobody has to trust the server.
            "server": the server, which everybody then has to trust (central DP); a simulation only.
        noise_bands: noise_at = "server": rounds over which training's noise is correlated (DP-FTRL); 1 for
            independent noise.
        noise_separation: With noise_bands above 1: a device is asked to train at most once in so many rounds;
            at least noise_bands.
        clipping: Whether an update's clip norm is `federation.update_clip` in all rounds, or moves below it
            ("adaptive", arXiv:1905.03871).
        clip_start: Adaptive: the first round's.
        clip_quantile: Adaptive: share of the updates that are to be within it.
        clip_rate: Adaptive: how fast it moves.
    """

    masks: bool | Literal["elided"] = True
    noise: bool = True
    unit: Unit = "device"
    epsilon: Positive | None = None
    delta: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-5
    train_multiplier: Positive | None = None
    statistics_multiplier: Positive | None = None
    validate_multiplier: Positive | None = None
    calibrate_multiplier: Positive | None = None
    health_multiplier: Positive | None = None
    health_share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    corrupt: Count = 1
    dropouts: Annotated[float, msgspec.Meta(ge=0, le=0.9)] = 0.3
    profile: Profile = "malicious-server"
    cipher: Cipher = "chacha20"
    sensitivity: Annotated[int, msgspec.Meta(ge=64, le=1 << 20)] = 1 << 10
    remove_excess: bool | None = None
    largest_cohort: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 500
    noise_at: Literal["devices", "server"] = "devices"
    noise_bands: Annotated[int, msgspec.Meta(ge=1, le=MOST_BANDS)] = 1
    noise_separation: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 1
    clipping: Literal["fixed", "adaptive"] = "fixed"
    clip_start: Positive = 0.1
    clip_quantile: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    clip_rate: Annotated[float, msgspec.Meta(gt=0, le=10)] = 0.2


class TrainingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Training on a device: local SGD for unit device, one DP-SGD step a round for unit example.

    Attributes:
        epochs: Unit device: passes over the local examples.
        batch_size: Unit device: examples a step.
        learning_rate: Of local SGD, or of the DP-SGD step.
        schedule: Of that rate over the rounds.
        momentum: Unit device: of local SGD.
        gradient_clip: Largest L2 norm of a gradient: of a batch's (0 for no limit), or of each example's.
        sampling_rate: Unit example: q, with which each example joins a step.
        augmentations: Unit example: augmented copies whose mean gradient is an example's; 0 for none.
        expected_batch: Unit example: public constant that a step's sum is divided by; near q times all
            examples.
    """

    epochs: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)] = 16
    learning_rate: Positive = 0.05
    schedule: Schedule = "constant"
    momentum: Share = 0.0
    gradient_clip: NotNegative = 0.0
    sampling_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    augmentations: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    expected_batch: NotNegative = 0.0


class ReleaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is packaged, and what it must show before it is.

    Attributes:
        int8: Whether to add an int8 variant.
        calibration: Where its activation ranges come from. "private": one more sum over the devices.
            "public": probes that anyone can make. "weights-only": it needs none. "pooled": all training
            examples in one place, which only a simulation has.
        calibration_examples: Pooled or public: at most so many.
        gate: Whether devices compare what would be packaged with the release before it; what does not pass
            is not packaged.
        limits: What the gate holds it to.
        parent: The package that was released before; empty for none.
        groups: Names of groups of devices that the gate looks at one by one; see `[device] group`.
        health_sums: How often rollouts may ask devices how they went; 0 for never.
    """

    int8: bool = True
    calibration: Calibration = "private"
    calibration_examples: Count = 256
    gate: bool = False
    limits: GateLimits = GateLimits()
    parent: str = ""
    groups: Annotated[tuple[RunName, ...], msgspec.Meta(max_length=16)] = ()
    health_sums: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class HealthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Instead of training: ask devices how a rollout went; see `covey.plan.Health`.

    Attributes:
        rollout: Its identifier.
        image: SHA-256 of the archive that is rolled out.
        rings: How many rings its plan has.
    """

    rollout: ShortName
    image: Digest
    rings: Annotated[int, msgspec.Meta(ge=1, le=MOST_RINGS)]


class FederationFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A federation on a fleet, as written in TOML."""

    name: RunName
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    model: ModelSettings
    federation: FederationSettings
    privacy: PrivacySettings = PrivacySettings()
    training: TrainingSettings = TrainingSettings()
    strategy: StrategySettings = StrategySettings()
    release: ReleaseSettings = ReleaseSettings()
    health: HealthSettings | None = None


def train_task(file: FederationFile, server_round: int) -> Train | Gradient:
    """What a device is asked to do in a round, from 1.

    Raises:
        ConfigError: The unit is example, and a number that its steps need is missing.
    """
    federation, training = file.federation, file.training
    if file.privacy.unit == "example":
        return _gradient_task(file, server_round)
    return Train(
        epochs=training.epochs,
        batch_size=training.batch_size,
        learning_rate=scheduled(training.learning_rate, training.schedule, server_round, federation.rounds),
        momentum=training.momentum,
        gradient_clip=training.gradient_clip,
        proximal_mu=0.0,
        weighting=federation.weighting,
        examples_cap=federation.examples_cap,
        update_clip=federation.update_clip,
        control_clip=file.strategy.control_clip if file.strategy.name == "scaffold" else 0.0,
    )


def _gradient_task(file: FederationFile, server_round: int) -> Gradient:
    training = file.training
    for key in ("gradient_clip", "expected_batch"):
        if not getattr(training, key):
            raise ConfigError(
                "[training]", key, 'unit "example" needs one above 0; see docs/configuration.md'
            )
    return Gradient(
        sampling_rate=training.sampling_rate,
        augmentations=training.augmentations,
        gradient_clip=training.gradient_clip,
        learning_rate=scheduled(
            training.learning_rate, training.schedule, server_round, file.federation.rounds
        ),
        expected_batch=training.expected_batch,
        examples_cap=file.federation.examples_cap,
    )


def validate_task(file: FederationFile) -> Validate:
    """What a device is asked when it validates."""
    return Validate(file.federation.examples_cap)


def compare_task(file: FederationFile) -> Compare:
    """What a device is asked when releases are compared; how the old one scales inputs comes with it."""
    return Compare(file.federation.examples_cap, file.release.groups)


def health_task(health: HealthSettings) -> Health:
    """What a device is asked about a rollout."""
    return Health(health.rollout, health.image, health.rings)


def server_rate(file: FederationFile, server_round: int) -> float:
    """The server optimiser's learning rate in a round, from 1."""
    strategy, rounds = file.strategy, file.federation.rounds
    warm = min(strategy.warmup_rounds, rounds - 1)
    if server_round <= warm:
        return strategy.learning_rate * server_round / warm
    return scheduled(strategy.learning_rate, strategy.schedule, server_round - warm, rounds - warm)


def scheduled(rate: float, schedule: Schedule, server_round: int, rounds: int) -> float:
    """The rate of a round: constant, or half a cosine from `rate` in round 1 towards 0 after the last."""
    if schedule == "constant":
        return rate
    return rate * 0.5 * (1 + cos(pi * (server_round - 1) / rounds))
