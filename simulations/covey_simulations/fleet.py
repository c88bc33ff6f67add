"""Simulated devices: the real device code over data in memory."""

from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context

from covey.errors import InputError
from covey.seeds import derive
from covey_client.app import build
from covey_io import durable
from covey_models.model import Model
from covey_simulations.data.federated import FederatedData
from covey_simulations.grid import SERVER, InProcessGrid
from covey_strategies.queries.device import Device, Log


@dataclass(frozen=True)
class Fleet:
    """Devices by node id, in order of their names."""

    devices: dict[int, Device]

    def grid(self) -> InProcessGrid:
        """A grid on which they all are."""

        def device_of(context: Context) -> Device:
            return self.devices[context.node_id]

        return InProcessGrid(build(device_of), self.devices)


def fleet(data: FederatedData, model: Model, seed: int, logs: Path) -> Fleet:
    """One device for each in `data`. One without training examples answers with weight zero.

    Args:
        data: What each holds; `check_fit` has passed it.
        model: What they train.
        seed: The run's seed; each device derives its own.
        logs: Folder for the devices' own logs, a file each, made when there is something to say.
    """
    devices = {
        node: Device(name, model, local, derive(seed, "device", name), _log(logs / f"{name}.log"))
        for node, (name, local) in enumerate(data.devices.items(), start=SERVER + 1)
    }
    return Fleet(devices)


def check_fit(data: FederatedData, model: Model) -> None:
    """Refuse a model that cannot take this data.

    Raises:
        InputError: Names both shapes, or both numbers of classes.
    """
    if data.input_shape != model.input_shape:
        raise InputError(
            f"inputs of shape {data.input_shape} in {data.name}, {model.name} takes {model.input_shape}",
            hint="choose another model.name, or reshape the data",
        )
    if len(data.labels) > model.classes:
        raise InputError(
            f"model {model.name} tells {model.classes} classes apart, {data.name} has {len(data.labels)}",
            hint="choose another model.name, or give the model more classes",
        )
    if set(data.labels) == set(model.labels) and data.labels != model.labels:
        raise InputError(
            f"model {model.name} and {data.name} name the same classes in different orders",
            hint="put labels.txt, or the model's labels, into the other's order",
        )


def _log(path: Path) -> Log:
    def log(line: str) -> None:
        durable.make_folder(path.parent)
        durable.append(path, f"{line}\n".encode())

    return log
