"""Which engine a run gets, and why."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from flwr.serverapp import Grid

from covey.errors import InputError
from covey_models.cohort.in_turn import InTurn
from covey_models.cohort.programs import Chosen, choose
from covey_models.model import Model
from covey_server.algorithms import is_stateful
from covey_simulations.engines import memory, processes
from covey_simulations.engines.allocation import keep_freed_memory
from covey_simulations.engines.grid import EngineGrid
from covey_simulations.engines.settings import EngineSettings, Name
from covey_simulations.engines.summing import Summing
from covey_simulations.fleet import Fleet
from covey_simulations.settings import SimulationFile
from covey_strategies.protection import Protection

MASKED: Final = 'masks are on; privacy.masks = "elided" gives the same sums in a fraction of the time'


@dataclass(frozen=True)
class Engine:
    """What works a run out.

    Attributes:
        name: Of the engine.
        workers: Processes.
        chosen: How the model is trained; None for the serial engine.
        why: This engine, and not a faster one; empty where it is the fastest there is.
    """

    name: Name
    workers: int
    chosen: Chosen | None
    why: str

    @property
    def told(self) -> str:
        """In one line, for whoever watches."""
        how = f", {self.chosen.how}" if self.chosen else ""
        many = f", {self.workers} processes" if self.workers > 1 else ""
        return f"engine: {self.name}{how}{many}{f' ({self.why})' if self.why else ''}"


def engine_for(file: SimulationFile, protection: Protection, model: Model) -> Engine:
    """The engine that a run gets.

    Raises:
        InputError: One is asked for that cannot work this run out, or the machine has not the memory.
    """
    wanted = file.simulation.engine
    if wanted == "ray" and file.simulation.ray_address and is_stateful(file):
        raise InputError(
            f'strategy.name: with "{file.strategy.name}" devices keep files in the run\'s folder, which other'
            " machines do not see",
            hint='leave out simulation.ray_address, or set simulation.engine = "processes"',
        )
    if protection.masks == "on":
        if wanted not in {"auto", "serial"}:
            raise InputError(
                f'simulation.engine: "{wanted}", and masks are on: each device answers by the protocol',
                hint='set privacy.masks = "elided" for the same sums without masks, or engine = "serial"',
            )
        return Engine("serial", 1, None, MASKED if wanted == "auto" else "")
    if wanted == "serial":
        return Engine("serial", 1, None, "")
    chosen = choose(model, file.training.batch_size)
    workers = file.simulation.workers or os.cpu_count() or 1
    if wanted == "auto":
        wanted = "batched" if chosen.is_batched or workers == 1 else "processes"
    workers = 1 if wanted == "batched" else workers
    if wanted != "ray" or not file.simulation.ray_address:
        needed = memory.estimate(chosen, chosen.weights, workers, file.simulation.memory_mb << 20)
        memory.check(needed, memory.available(), workers)
    return Engine(wanted, workers, chosen, _why(chosen, model, file))


def _why(chosen: Chosen, model: Model, file: SimulationFile) -> str:
    """Why devices are trained one after the other, and what that costs; empty where they are not."""
    if not isinstance(chosen.program, InTurn):
        return ""
    size = file.training.batch_size
    seconds = chosen.program.seconds(model.input_shape, size)
    return f"{chosen.why}; {seconds * 1e3:.2g} ms of a core for each batch of {size}"


@contextmanager
def running(engine: Engine, fleet: Fleet, settings: EngineSettings) -> Iterator[Grid]:
    """A grid on which the fleet is, while the block lasts."""
    if engine.chosen is None:
        yield fleet.grid()
        return
    keep_freed_memory()
    summing = Summing(fleet.crowd, engine.chosen, settings.memory_mb << 20)
    if engine.name == "batched":
        yield EngineGrid(fleet.app(), fleet.crowd.nodes, summing)
        return
    if engine.name == "ray":
        from covey_simulations.engines import ray  # noqa: PLC0415 - optional

        with ray.started(summing, settings.workers, settings.ray_address) as totals:
            yield EngineGrid(fleet.app(), fleet.crowd.nodes, totals, totals.run_id)
        return
    with processes.started(summing, engine.workers) as totals:
        yield EngineGrid(fleet.app(), fleet.crowd.nodes, totals)
