"""A model that has learnt digits, devices to ask about it, and who asks them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import torch

from covey.arrays import Parameters
from covey.examples import Examples, Floats, LocalData, Standardise
from covey.package.archive import pack
from covey.package.contents import Draft, Variant, assemble
from covey.package.verify import sign_package
from covey.plan import Task, Train
from covey_io.settings import convert
from covey_models.export import to_onnx
from covey_models.golden import golden
from covey_models.model import Model
from covey_models.training import Local, load, parameters_of, train
from covey_models.zoo.digits import MODEL
from covey_server.calibrating import Trained
from covey_server.coordinator import Coordinator
from covey_server.ledgers import opened
from covey_server.privacy import protection
from covey_server.run_folder import RunFolder
from covey_server.settings import FederationFile
from covey_strategies.private_sum import PrivateSum
from digits_fleet import TRAIN, Flock, cut, dealt, flock, pool
from packages_fixture import keys

SIZES = (36,) * 12
SCALE = Standardise((0.3,), (0.4,))
"""About what a fleet finds for digits."""


@cache
def trained(epochs: int = 3) -> Trained:
    """A network trained on all digits, in a second."""
    torch.manual_seed(1)
    network = MODEL.build()
    local = Local(pool().train, SCALE, None)
    if epochs:
        train(network, local, _task(epochs), seed=1)
    return of(network)


def _task(epochs: int) -> Train:
    """How it is trained."""
    return msgspec.structs.replace(TRAIN, epochs=epochs)


def of(network: torch.nn.Module) -> Trained:
    """What is known of a network once it is trained."""
    fp32 = to_onnx(network, MODEL.input_shape)
    return Trained(MODEL, network, parameters_of(network), SCALE, fp32)


@cache
def zeros() -> Trained:
    """A network that takes everything for the first digit."""
    network = MODEL.build()
    load(network, {name: 0 * value for name, value in trained().parameters.items()})
    return of(network)


def fleet(groups: tuple[str, ...] = ()) -> Flock:
    """Twelve devices with real digits; the groups they are in by turns."""
    made = flock(dealt(SIZES))
    for node, device in made.devices.items():
        if groups:
            made.devices[node] = replace(device, group=groups[node % len(groups)])
    return made


def asked_about() -> LocalData:
    """What these devices hold, together."""
    return cut(0, sum(SIZES))


def scaled(examples: Examples) -> Floats:
    """As the network sees them."""
    return SCALE.apply(examples.x)


def file(release: Mapping[str, Any], **tables: dict[str, Any]) -> FederationFile:
    """A federation over such devices: in clear, and without noise, unless told otherwise."""
    plain: dict[str, Any] = {
        "name": "digits",
        "model": {"name": "digits"},
        "federation": {"rounds": 1, "minimum_devices": 2, "examples_cap": 64, "round_timeout": 5.0},
        "privacy": {"masks": False, "noise": False},
        "release": dict(release),
    }
    for table, values in tables.items():
        plain[table] = plain.get(table, {}) | values
    return convert(plain, FederationFile, "digits.toml")


@dataclass
class Asked:
    """Asks devices, and remembers what.

    Attributes:
        coordinator: Of a run.
        tasks: What was asked, in order.
    """

    coordinator: Coordinator
    tasks: list[Task] = field(default_factory=list)

    def __call__(self, task: Task, parameters: Parameters, preprocessing: Standardise | None) -> PrivateSum:
        """See `covey_server.calibrating.Ask`."""
        self.tasks.append(task)
        return self.coordinator.ask(task, parameters, preprocessing)

    @property
    def names(self) -> list[str]:
        """Of the tasks."""
        return [type(task).__name__ for task in self.tasks]


@contextmanager
def asks(path: Path, decided: FederationFile, devices: Flock | None = None) -> Iterator[Asked]:
    """Who asks `devices` in a run at `path`, a new one; its rounds are not run."""
    devices = devices or fleet()
    folder = RunFolder.create(path, msgspec.to_builtins(decided))
    with opened(folder.ledger, None) as ledger:
        coordinator = Coordinator(
            grid=devices.grid,
            file=decided,
            model=MODEL,
            folder=folder,
            ledger=ledger,
            protection=protection(decided, MODEL, devices.operator, seeded=True),
            seed=1,
            observe=lambda _: None,
        )
        coordinator.book.begin()
        yield Asked(coordinator)


def package(path: Path, model: Trained, labels: tuple[str, ...] = MODEL.labels) -> Path:
    """A release of a model, in float32, to be the parent of another."""
    variants: dict[Variant, bytes] = {"fp32": model.fp32}
    named: Model = replace(MODEL, labels=labels)
    draft = Draft(
        name="digits",
        version="1",
        model=MODEL.name,
        labels=labels,
        preprocessing=SCALE,
        models=variants,
        golden=golden(named, variants, SCALE, 1),
        card="---\nlicense: cc-by-4.0\n---\n# digits\n\nTells digits apart.\n",
    )
    path.write_bytes(pack(sign_package(assemble(draft), keys()[0])))
    return path
