"""What every engine and every peer is given: the same clients, arrays, first weights and rates.

NumPy alone, as it is imported in every peer's environment. A prepared workload is a folder of `.npy` files,
memory-mapped by whoever reads it: how much of the data stays in memory is then the system's doing for all
alike, and an engine's own copies are what is seen.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ARRAYS = ("x", "y", "start", "end", "held_x", "held_y")


@dataclass(frozen=True)
class Workload:
    """What is trained, with the numbers that all share.

    Attributes:
        name: Of the workload.
        network: Of `networks.NETWORKS`.
        clients: In the fleet.
        cohort: Clients a round.
        fewest: Examples of the smallest client.
        most: Examples of the largest.
        alpha: Dirichlet concentration of a client's classes; 0 for classes that are equally likely.
        rounds: That are run by default; the first is not measured.
        batch: Examples a step, about: see `batches`.
        rate: Of SGD.
        clip: L2 norm that an update is clipped to; 0 for none.
        noise: Standard deviation of the noise on the sum, in clip norms.
        seed: Of data, first weights and cohorts.
    """

    name: str
    network: str
    clients: int
    cohort: int
    fewest: int
    most: int
    alpha: float
    rounds: int
    batch: int
    rate: float
    clip: float
    noise: float
    seed: int = 7


W1 = Workload("W1", "mlp", 1000, 100, 20, 50, 0.5, 51, 10, 0.1, 0.0, 0.0)
W2 = Workload("W2", "cnn", 1000, 50, 50, 50, 0.0, 5, 10, 0.05, 0.0, 0.0)
W3 = Workload("W3", "mlp", 1000, 100, 20, 50, 0.5, 51, 10, 0.1, 1.0, 0.2)
WORKLOADS = {each.name: each for each in (W1, W2, W3)}


@dataclass(frozen=True)
class Clients:
    """A workload's arrays.

    Attributes:
        workload: Whose they are.
        x: Float32 inputs (n, ...) of all clients.
        y: Classes (n,).
        start: Where each client's examples begin (clients,).
        end: Where they end. In a workload as it is defined one client's follow another's; in a fleet that is
            grown, clients are windows of the same examples.
        held_x: Inputs that no client has.
        held_y: Their classes.
        initial: First weights, by parameter name.
    """

    workload: Workload
    x: Array
    y: Array
    start: Array
    end: Array
    held_x: Array
    held_y: Array
    initial: dict[str, Array]

    def of(self, client: int) -> tuple[Array, Array]:
        """What a client has."""
        here = slice(int(self.start[client]), int(self.end[client]))
        return self.x[here], self.y[here]

    def size(self, client: int) -> int:
        """How many examples that is."""
        return int(self.end[client] - self.start[client])

    def cohort(self, number: int) -> Array:
        """Distinct clients of a round, from 1, for whoever may choose them."""
        generator = np.random.default_rng((self.workload.seed, number))
        return generator.choice(self.workload.clients, self.workload.cohort, replace=False)


def save(clients: Clients, folder: Path) -> None:
    """Write a prepared workload."""
    folder.mkdir(parents=True)
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(clients, name))
    for name, value in clients.initial.items():
        np.save(folder / f"initial-{name}.npy", value)
    (folder / "workload.json").write_text(json.dumps(asdict(clients.workload)), "utf-8")


def read(folder: Path) -> Clients:
    """Read it back: memory-mapped, but for the first weights."""
    workload = Workload(**json.loads((folder / "workload.json").read_text("utf-8")))
    arrays = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in ARRAYS}
    initial = {
        path.stem.removeprefix("initial-"): np.load(path) for path in sorted(folder.glob("initial-*.npy"))
    }
    return Clients(workload, **arrays, initial=initial)


def batches(size: int, batch: int) -> list[slice]:
    """Steps of one epoch: batches of equal length (give or take one), of about `batch` examples each."""
    steps = max(1, round(size / batch))
    ends = np.cumsum([size // steps + (step < size % steps) for step in range(steps)])
    return [
        slice(int(end - length), int(end)) for end, length in zip(ends, np.diff(ends, prepend=0), strict=True)
    ]
