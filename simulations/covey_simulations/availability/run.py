"""The clock of a simulated run: a grid with it, what rounds say of it, and what it came to."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from flwr.serverapp import Grid

from covey_server.run_folder import RunFolder
from covey_server.summary import VirtualClock
from covey_simulations.availability import usage, words
from covey_simulations.availability.built import Subject, clockwork
from covey_simulations.availability.grid import AvailableGrid, available
from covey_simulations.availability.settings import AvailabilitySettings
from covey_simulations.availability.usage import FILE, Usage
from covey_simulations.report.facts import Clock
from covey_simulations.world import World

MOST: Final = 2_000
"""Devices of which a report keeps each one's figures."""


def clocked(world: World, grid: Grid, tell: Callable[[str], None]) -> Grid:
    """The fleet's grid, with a clock where the federation's file asks for one.

    Args:
        world: The run's.
        grid: Where its fleet is.
        tell: Is told when the run has to wait for devices.

    Raises:
        StateError: What devices have spent is damaged.
    """
    file, scenario = world.file, world.scenario
    if not file.availability.keeps_clock:
        return grid
    subject = Subject(file, file.availability, scenario.data, scenario.model, scenario.protection)
    return available(grid, clockwork(subject, world.folder, tell))


def columns_of(grid: Grid) -> Callable[[], dict[str, float]]:
    """What rounds say of a grid's clock; nothing where it has none."""
    return grid.clockwork.columns if isinstance(grid, AvailableGrid) else dict


def clock_of(folder: RunFolder) -> VirtualClock | None:
    """What a run came to on its clock; None where it had none."""
    used = used_in(folder)
    if not used.by_node:
        return None
    joules, moved = ([getattr(each, key) for each in used.by_node.values()] for key in ("joules", "bytes"))
    return VirtualClock(
        hours=used.latest,
        waited=used.waited,
        devices=len(used.by_node),
        asked=sum(each.asked for each in used.by_node.values()),
        answered=sum(each.answered for each in used.by_node.values()),
        joules=usage.spread(joules),
        bytes=usage.spread(moved),
        joules_in_all=sum(joules),
        bytes_in_all=sum(moved),
    )


def clock_facts(folder: RunFolder, settings: AvailabilitySettings) -> Clock | None:
    """The same as a report has it, with what every device spent."""
    told = clock_of(folder)
    if told is None:
        return None
    spent = used_in(folder).by_node.values()
    return Clock(
        told=told,
        trace=words.trace(settings),
        hardware=words.hardware(settings),
        joules=_some([each.joules for each in spent]),
        bytes=_some([float(each.bytes) for each in spent]),
    )


def _some(values: Sequence[float]) -> tuple[float, ...]:
    """All in order, or of many evenly spaced quantiles."""
    if len(values) <= MOST:
        return tuple(sorted(values))
    return tuple(np.quantile(values, (np.arange(MOST) + 0.5) / MOST).tolist())


def used_in(folder: RunFolder) -> Usage:
    """What a run's devices have spent."""
    used = Usage()
    for line in usage.read(folder.path / FILE):
        used.count(line)
    return used
