"""What asynchronous rounds (FedBuff, arXiv:2106.06639) do not go with.

One device is in a buffer's sum at most once, and each buffer is a sum of its own, which is what the
accountant counts on where devices add the noise: every sum costs what a sum costs. Noise of the server's own
is laid out by rounds in which a device is asked at set distances, which nobody sets here.
"""

from collections.abc import Iterator
from typing import Final

from covey.errors import ConfigError
from covey_server.settings import FederationFile

NAME: Final = "fedbuff"


def faults(file: FederationFile) -> Iterator[tuple[str, str, str, str]]:
    """A table, a key in it, what is wrong, and what to do; see `covey_server.algorithms`."""
    strategy, privacy = file.strategy, file.privacy
    if strategy.name != NAME:
        return
    if privacy.masks is True:
        fault = "devices of one buffer have trained from different models, and masks are for one plan's"
        yield "[privacy]", "masks", fault, 'set masks = "elided" for the same sums without masks'
    if privacy.unit == "example":
        fault = f'"{NAME}" is for whole updates, and unit "example" has single steps'
        yield "[strategy]", "name", fault, 'set [privacy] unit = "device", or take another strategy'
    if privacy.noise and privacy.noise_at == "server":
        fault = "no one says how often a device is in a buffer, and noise of the server's own counts on it"
        yield "[privacy]", "noise_at", fault, 'leave it at "devices", whose noise is counted buffer by buffer'
    if file.federation.weighting != "devices":
        fault = "a buffer's sum is divided by its devices (algorithm 1)"
        yield "[federation]", "weighting", fault, 'set weighting = "devices"'
    if privacy.clipping == "adaptive" or strategy.robust != "none":
        fault = "a buffer has one sum, and one clip norm for all models that its devices began from"
        yield "[strategy]", "name", fault, 'leave out strategy.robust, and clipping at "fixed"'
    if strategy.buffer > privacy.largest_cohort:
        fault = f"a buffer of {strategy.buffer} devices is one sum, of {privacy.largest_cohort} at most"
        yield "[strategy]", "buffer", fault, "lower it, or raise privacy.largest_cohort"


def check_fleet(file: FederationFile) -> None:
    """Refuse asynchronous rounds on a fleet.

    Raises:
        ConfigError: They are asked for.
    """
    if file.strategy.name == NAME:
        raise ConfigError(
            "[strategy]",
            "name",
            f'"{NAME}" keeps devices\' time by a virtual clock, which only a simulation has',
            hint="try it with covey simulate; on a fleet take another strategy",
        )
