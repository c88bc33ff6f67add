"""What an algorithm adds to a federation: to its tasks, on its server, and what it does not go with."""

from collections.abc import Iterator

import msgspec

from covey.arrays import Parameters
from covey.errors import ConfigError
from covey.plan import Gradient, Train, Validate
from covey_server import buffering
from covey_server.settings import FederationFile, train_task, validate_task
from covey_strategies.beside import Beside
from covey_strategies.central import Central, ServerNoise
from covey_strategies.queries import personal
from covey_strategies.queries.adaptive import Clip
from covey_strategies.queries.scaffold import Control
from covey_strategies.robust import LEAST_GROUPS, Robust

Fault = tuple[str, str, str, str]
"""A table, a key in it, what is wrong, and what to do."""


def beside(file: FederationFile) -> tuple[Beside, ...]:
    """What the server keeps from round to round, at the start."""
    found: list[Beside] = []
    if file.strategy.name == "scaffold":
        found.append(Control())
    if file.privacy.clipping == "adaptive":
        privacy = file.privacy
        most = file.federation.update_clip
        found.append(Clip(privacy.clip_start, privacy.clip_quantile, privacy.clip_rate, most))
    return tuple(found)


def central(file: FederationFile) -> Central | None:
    """How the server's noise is correlated; None where devices add it."""
    privacy = file.privacy
    if privacy.noise_at == "devices":
        return None
    return Central(privacy.noise_bands, privacy.noise_separation)


def server_noise(file: FederationFile, seed: int | None) -> ServerNoise | None:
    """What adds the server's noise; None where devices add it.

    Args:
        file: The federation.
        seed: Decides it; None for the operating system's randomness.
    """
    return None if file.privacy.noise_at == "devices" else ServerNoise(seed)


def robust(file: FederationFile) -> Robust | None:
    """How the sums of a round's cohorts are combined; None for their mean."""
    strategy = file.strategy
    return None if strategy.robust == "none" else Robust(strategy.robust, strategy.trim)


def training(file: FederationFile, parameters: Parameters, server_round: int) -> Train | Gradient:
    """What a device is asked to do in a round, from 1, before the server's state is looked at.

    Args:
        file: The federation.
        parameters: The model's, for their names.
        server_round: From 1.

    Raises:
        InputError: A layer that the model does not have.
        ConfigError: A number is missing; see `covey_server.settings.train_task`.
    """
    task = train_task(file, server_round)
    if isinstance(task, Gradient) or not file.strategy.personal:
        return task
    return msgspec.structs.replace(task, personal=personal.names_of(file.strategy.personal, parameters))


def validation(file: FederationFile, parameters: Parameters) -> Validate:
    """What a device is asked when it validates.

    Raises:
        InputError: A layer that the model does not have.
    """
    names = personal.names_of(file.strategy.personal, parameters) if file.strategy.personal else ()
    return msgspec.structs.replace(validate_task(file), personal=names)


def first(file: FederationFile, parameters: Parameters) -> Train | Gradient:
    """The first round's task: all rounds' answers are laid out alike."""
    task = training(file, parameters, 1)
    for each in beside(file):
        if isinstance(task, Train):
            task, _ = each.asked(task, parameters)
    return task


def is_stateful(file: FederationFile) -> bool:
    """Whether devices keep something from round to round."""
    return file.strategy.name in {"scaffold", "fedper"}


def has_no_package(file: FederationFile) -> str:
    """Why a federation ends with its training; empty for one whose model is packaged."""
    if file.strategy.name == "fedper":
        return "each device keeps layers of its own, so that there is no one model to package"
    if file.privacy.noise_at == "server":
        return "noise of the server's own is a simulation's alone, so that nothing is packaged"
    return ""


def check(file: FederationFile) -> None:
    """Refuse algorithms that do not go together.

    Raises:
        ConfigError: Names the key, and says what to do.
    """
    for table, key, fault, hint in (
        *_strategy_faults(file),
        *_device_state_faults(file),
        *_robust_faults(file),
        *_clipping_faults(file),
        *_central_faults(file),
        *buffering.faults(file),
    ):
        raise ConfigError(table, key, fault, hint=hint)


def check_fleet(file: FederationFile) -> None:
    """Refuse what only a simulation can do.

    Raises:
        ConfigError: Names the key, and says what to do.
    """
    if is_stateful(file):
        raise ConfigError(
            "[strategy]",
            "name",
            f'"{file.strategy.name}" is for devices that keep something between rounds; a fleet\'s do not',
            hint="try it with covey simulate; on a fleet take another strategy",
        )
    if file.privacy.noise_at == "server":
        raise ConfigError(
            "[privacy]",
            "noise_at",
            'with "server" everybody has to trust the server; it is for simulations',
            hint='leave it at "devices": each adds its share, and no trust is needed',
        )
    buffering.check_fleet(file)
    if file.strategy.file:
        raise ConfigError(
            "[strategy]",
            "file",
            "a strategy of one's own runs in a simulation, or in a Flower app of one's own",
            hint="docs/flower-native.md has the second way",
        )


def _strategy_faults(file: FederationFile) -> Iterator[Fault]:
    strategy = file.strategy
    if strategy.file and strategy.name != "fedavg":
        yield "[strategy]", "file", f'beside name = "{strategy.name}"', "give one of the two"
    if (strategy.name == "fedper") != bool(strategy.personal):
        hint = 'as in name = "fedper", personal = ["4"]: the names of layers that stay on each device'
        yield "[strategy]", "personal", 'goes with name = "fedper", and that with it', hint
    if file.privacy.unit == "example" and strategy.name in {"scaffold", "fedper"}:
        fault = f'"{strategy.name}" is for whole updates, and unit "example" has single steps'
        yield "[strategy]", "name", fault, 'set [privacy] unit = "device", or take another strategy'


def _device_state_faults(file: FederationFile) -> Iterator[Fault]:
    """SCAFFOLD's option II takes (x - y) / (K η) for a mean gradient: of plain SGD, each device alike."""
    if file.strategy.name != "scaffold":
        return
    if file.training.momentum:
        yield "[training]", "momentum", "SCAFFOLD is for plain SGD", "set momentum = 0"
    if file.federation.weighting != "devices":
        hint = 'set weighting = "devices"'
        yield "[federation]", "weighting", "SCAFFOLD counts each device once", hint


def _robust_faults(file: FederationFile) -> Iterator[Fault]:
    if file.strategy.robust == "none":
        return
    asked, largest = file.federation.devices_per_round, file.privacy.largest_cohort
    if file.privacy.unit == "example":
        fault = "a step's sum is divided by one public constant, not group by group"
        yield "[strategy]", "robust", fault, 'set [privacy] unit = "device"'
    if file.strategy.name == "scaffold":
        fault = "control variates are a plain sum, which one device can spoil"
        yield "[strategy]", "robust", fault, "take another strategy"
    if asked and -(-asked // largest) < LEAST_GROUPS:
        fault = f"{asked} devices in groups of at most {largest} are fewer than {LEAST_GROUPS} groups"
        yield "[privacy]", "largest_cohort", fault, f"set it to {max(asked // LEAST_GROUPS, 2)} or less"


def _clipping_faults(file: FederationFile) -> Iterator[Fault]:
    privacy = file.privacy
    if privacy.clipping == "fixed":
        return
    if privacy.unit == "example":
        fault = "it follows the norms of whole updates"
        yield "[privacy]", "clipping", fault, 'set unit = "device", or clipping = "fixed"'
    if privacy.clip_start > file.federation.update_clip:
        fault = f"is above federation.update_clip = {file.federation.update_clip:g}, the most there is"
        yield "[privacy]", "clip_start", fault, "lower it, or raise update_clip"


def _central_faults(file: FederationFile) -> Iterator[Fault]:
    privacy = file.privacy
    if privacy.noise_at == "devices":
        if privacy.noise_bands > 1 or privacy.noise_separation > 1:
            fault = "devices' noise is independent from round to round"
            yield (
                "[privacy]",
                "noise_bands",
                fault,
                'set noise_at = "server" in a simulation, or noise_bands = 1',
            )
        return
    if privacy.masks is True:
        fault = "masks hide answers from a server that has to be trusted anyway"
        yield "[privacy]", "noise_at", fault, 'set masks = "elided" (or false), or noise_at = "devices"'
    if not privacy.noise:
        yield "[privacy]", "noise_at", "beside noise = false", "give one of the two"
    if privacy.unit == "example":
        yield "[privacy]", "noise_at", 'takes unit "device"', 'leave it at "devices": the noise is the same'
    if privacy.noise_bands > 1 and not file.federation.devices_per_round:
        fault = "correlated noise asks a device rarely, and all devices are asked in every round"
        yield "[privacy]", "noise_bands", fault, "set federation.devices_per_round"
    if privacy.noise_separation < privacy.noise_bands:
        fault = f"is {privacy.noise_separation}, and noise is correlated over {privacy.noise_bands} rounds"
        hint = f"set it to {privacy.noise_bands} or more: a device is then asked once in so many rounds"
        yield "[privacy]", "noise_separation", fault, hint
    if privacy.noise_bands == 1 and privacy.noise_separation > 1:
        fault = "goes with noise_bands above 1"
        yield "[privacy]", "noise_separation", fault, "leave it out"
    if file.release.health_sums:
        fault = "health is asked of real devices"
        yield "[release]", "health_sums", fault, 'set it to 0, or [privacy] noise_at = "devices"'
