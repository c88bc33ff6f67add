"""What belongs beside every figure of a federation although nothing is wrong with it."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey.examples import LocalData
from covey_simulations.data.dealt import Dealt
from covey_simulations.data.devices import LazyDevices
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.partitions import Index

_FEW: Final = 3


def remarks(data: FederatedData) -> tuple[str, ...]:
    """Sentences about devices that have nothing to train on, or one class alone.

    The classes of devices that are generated on demand are not looked at: that would make all of them.
    """
    found = (
        (data.sizes.train == 0, "have nothing to train on"),
        (_of_one_class(data.devices), "train on one class only"),
    )
    return tuple(
        f"{which.sum()} of {len(which)} devices {what}: {_some(data.devices, np.flatnonzero(which))}."
        for which, what in found
        if which.any()
    )


def _of_one_class(devices: Mapping[str, LocalData]) -> NDArray[np.bool_]:
    match devices:
        case Dealt():
            return devices.of_one_class()
        case LazyDevices():
            return np.zeros(len(devices), np.bool_)
        case _:
            labels = [local.train.y for local in devices.values()]
            return np.array([len(y) > 0 and bool((y == y[0]).all()) for y in labels], np.bool_)


def _some(devices: Mapping[str, LocalData], places: Index) -> str:
    """The first few names."""
    names: Sequence[str] = devices.names if isinstance(devices, LazyDevices) else list(devices)
    first = ", ".join(names[place] for place in places[:_FEW])
    return f"{first} and {len(places) - _FEW} more" if len(places) > _FEW else first
