"""From a federation's [privacy] table to what protects its sums, and how often each kind is asked."""

from collections.abc import Mapping
from typing import Final

from covey.encode import Shape
from covey.errors import ConfigError
from covey.plan import MOST_RINGS, Gradient, Masks
from covey.planner.calibrate import Kind, Query, Target, by_server, calibrated
from covey_models import ranges
from covey_models.model import Model
from covey_models.observing import count
from covey_models.training import initial
from covey_server import algorithms
from covey_server.settings import FederationFile, PrivacySettings, compare_task, validate_task
from covey_strategies.protection import Operator, Protection
from covey_strategies.queries import compare, gradient, health, statistics, train, validate

TABLE = "[privacy]"
_EACH: Final = "give one for each kind of sum"
_ONE_EACH: Final[Mapping[Kind, str]] = {
    "train": _EACH,
    "statistics": _EACH,
    "validate": _EACH,
    "calibrate": f"{_EACH}, or set [release] int8 = false",
    "health": f"{_EACH}, or leave out [release] health_sums",
}


def protection(file: FederationFile, model: Model, operator: Operator | None, *, seeded: bool) -> Protection:
    """What protects the sums of a federation.

    Args:
        file: What was decided.
        model: What is trained.
        operator: Who signs plans; None where nothing is masked.
        seeded: Whether noise is drawn from a simulation's seed.

    Raises:
        ConfigError: How much noise is not said, or said twice; or algorithms do not go together.
        InputError: No noise is enough, or a number does not fit.
    """
    algorithms.check(file)
    privacy = file.privacy
    return Protection(
        unit=privacy.unit,
        masks=masks_of(privacy),
        multipliers=multipliers(file, model),
        sensitivity=privacy.sensitivity,
        corrupt=privacy.corrupt,
        profile=privacy.profile,
        cipher=privacy.cipher,
        removal=privacy.remove_excess,
        seeded=seeded,
        largest=privacy.largest_cohort,
        operator=operator if privacy.masks is True else None,
        central=algorithms.central(file),
    )


def masks_of(privacy: PrivacySettings) -> Masks:
    """Masks as plans name them."""
    return {True: "on", False: "none"}[privacy.masks] if isinstance(privacy.masks, bool) else "elided"  # type: ignore[return-value]


def multipliers(file: FederationFile, model: Model) -> Mapping[Kind, float]:
    """The noise multiplier of each kind of sum; empty without noise.

    Raises:
        ConfigError: How much noise is not said, or said twice.
        InputError: No noise is enough for the target.
    """
    privacy, asked = file.privacy, queries(file, model)
    given: dict[Kind, float | None] = {
        "train": privacy.train_multiplier,
        "statistics": privacy.statistics_multiplier,
        "validate": privacy.validate_multiplier,
        "calibrate": privacy.calibrate_multiplier,
        "health": privacy.health_multiplier,
    }
    said = {kind: value for kind, value in given.items() if value is not None}
    if not privacy.noise:
        return {}
    if (privacy.epsilon is None) == (not said):
        raise ConfigError(
            TABLE,
            "epsilon",
            "say how much noise: epsilon = 8, or multipliers, or noise = false for an experiment",
        )
    if privacy.epsilon is None:
        for query in asked:
            if query.kind not in said:
                raise ConfigError(TABLE, f"{query.kind}_multiplier", _ONE_EACH[query.kind])
        return {query.kind: said[query.kind] for query in asked}
    target = Target(privacy.epsilon, privacy.delta)
    shares: Mapping[Kind, float] = {"health": privacy.health_share}
    taken = by_server(privacy.sensitivity) if privacy.noise_at == "server" else None
    found = calibrated(privacy.unit, asked, target, privacy.sensitivity, shares, taken=taken)
    return {each.query.kind: each.multiplier for each in found}


def queries(file: FederationFile, model: Model) -> tuple[Query, ...]:
    """Each kind of sum, the most numbers in it, and how often a run without a crash asks it."""
    federation, release, parameters = file.federation, file.release, initial(model, 0)
    task = algorithms.first(file, parameters)
    bands, separation = file.privacy.noise_bands, file.privacy.noise_separation
    if isinstance(task, Gradient):
        trained, rate = gradient.shapes(task, parameters), task.sampling_rate
    else:
        trained, rate = train.shapes(task, parameters), 1.0
    found = [
        Query("train", _length(trained), federation.rounds, rate, bands, separation),
        Query("validate", _longest_counts(file, model), validations(file) + release.gate),
    ]
    if federation.standardise:
        found.append(Query("statistics", _length(statistics.shapes(model.input_shape[0])), 1))
    if release.int8 and release.calibration == "private" and not algorithms.has_no_package(file):
        found.append(Query("calibrate", ranges.length(count(model.build(), model.input_shape)), 1))
    if release.health_sums:
        found.append(Query("health", MOST_RINGS * len(health.CELLS), release.health_sums))
    return tuple(found)


def _longest_counts(file: FederationFile, model: Model) -> int:
    """Of a validation and of a comparison of releases, which are one kind."""
    unit = file.privacy.unit
    validated = _length(validate.shapes(validate_task(file), model.classes, unit))
    compared = _length(compare.shapes(compare_task(file), model.classes, unit))
    return max(validated, compared) if file.release.gate else validated


def validations(file: FederationFile) -> int:
    """Validation sums of a run: some rounds, the last, and all devices at the end if rounds ask only some."""
    federation = file.federation
    regular, rest = divmod(federation.rounds, federation.validate_every)
    return regular + bool(rest) + bool(federation.devices_per_round)


def _length(shapes: Mapping[str, Shape]) -> int:
    return sum(shape.length for shape in shapes.values())
