"""Who is measured: Covey's engines, and the peers that are installed."""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MADE = "made"
"""In an environment: it was installed to the end."""
PROGRAMS = Path(__file__).parent / "simulation_peers"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
ALONE = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""One thread a worker."""


@dataclass(frozen=True)
class Contestant:
    """Something to measure.

    Attributes:
        peer: Whose it is.
        engine: Which of theirs.
        program: In simulation_peers/, without its ending.
        environment: Name of the virtual environment that it needs; empty for Covey's own.
        options: Of Python, before the program.
        noise: Whether it can clip and add noise.
    """

    peer: str
    engine: str
    program: str
    environment: str = ""
    options: tuple[str, ...] = ()
    noise: bool = True

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.peer} {self.engine}"

    def python(self, environments: Path) -> Path:
        """The interpreter that runs it."""
        if not self.environment:
            return Path(sys.executable)
        return environments / self.environment / "bin" / "python"

    def is_installed(self, environments: Path) -> bool:
        """Whether it was installed to the end."""
        return not self.environment or (environments / self.environment / MADE).exists()

    def command(self, environments: Path, prepared: Path, rounds: int) -> list[str]:
        """What starts it, with `{socket}` where its socket's address belongs."""
        program = str(PROGRAMS / f"{self.program}.py")
        return [
            str(self.python(environments)),
            *self.options,
            program,
            str(prepared),
            str(rounds),
            self.engine,
            "{socket}",
        ]


PEERS: Mapping[str, Contestant] = {
    "loop": Contestant("torch", "loop", "plain_loop"),
    "vmap": Contestant("torch", "vmap", "vmap_loop"),
    "pfl": Contestant("pfl", "serial", "pfl_loop", "pfl"),
    "pfl-2": Contestant("pfl", "2 processes", "pfl_loop", "pfl", TORCHRUN),
    "blazefl": Contestant("blazefl", "serial", "blazefl_loop", "blazefl", noise=False),
    "flower": Contestant("flower", "ray", "flower_ray", "flower"),
}
ENGINES = ("serial", "batched", "processes", "ray")
"""Covey's; the last needs Ray beside Covey."""


def engine(name: str) -> Contestant:
    """One of Covey's own."""
    return Contestant("covey", name, "covey_engine")


def present(wanted: Iterable[Contestant], environments: Path) -> list[Contestant]:
    """Those that can run; says on stderr how to get the others."""
    found, missing = [], dict[str, None]()
    for each in wanted:
        if each.is_installed(environments):
            found.append(each)
        else:
            missing[each.environment] = None
    for name in missing:
        print(
            f"{name} is left out, it is not installed: benchmarks/simulation.py peers --make {environments}",
            file=sys.stderr,
        )
    return found


def environment(folder: Path) -> dict[str, str]:
    """Of every program that is measured; what Ray leaves behind goes to `folder`."""
    own = {"PYTHONPATH": str(PROGRAMS.parent), "RAY_TMPDIR": str(folder)}
    return {**os.environ, **QUIET, **ALONE, **own}
