"""Layers of each device's own: FedPer.

Arivazhagan et al., arXiv:1912.00818, algorithms 1 and 2. The layers that are named stay on the device, which
trains them together with those that everybody shares; what it sends is the change of the shared ones alone.
(FedRep, arXiv:2102.07078, trains the two parts by turns instead. FedPer needs no other local training.)

A device that has never trained takes the layers that the server sends, which stay as they were initialised.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from covey.arrays import Parameters
from covey.errors import InputError
from covey_strategies.queries.memory import Memory

HEAD: Final = "head"
"""What a device keeps its own layers under."""


def names_of(layers: Sequence[str], parameters: Parameters) -> tuple[str, ...]:
    """The parameters that some layers hold, in the model's order.

    Args:
        layers: Names of parameters, or of modules: "4" has "4.weight" and "4.bias".
        parameters: The model's.

    Raises:
        InputError: A layer that the model does not have, or nothing that would be shared.
    """
    for layer in layers:
        if not any(_is_in(name, layer) for name in parameters):
            raise InputError(f"the model has no layer {layer!r}", hint=f"it has {', '.join(parameters)}")
    found = tuple(name for name in parameters if any(_is_in(name, layer) for layer in layers))
    if len(found) == len(parameters):
        raise InputError(
            "all layers are personal: there is nothing to learn together", hint="leave some out of personal"
        )
    return found


def _is_in(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f"{layer}.")


def shared(personal: Sequence[str], parameters: Parameters) -> Parameters:
    """What is left to be sent."""
    return {name: value for name, value in parameters.items() if name not in personal}


def own(personal: Sequence[str], parameters: Parameters, memory: Memory, before: int) -> Parameters:
    """Device half, before training or validation: the model sent, with the device's own layers.

    Args:
        personal: Names of the device's own parameters.
        parameters: As they were sent.
        memory: The device's.
        before: What rounds before this one left counts.
    """
    head = memory.read(HEAD, before) or {}
    return parameters | {name: head[name] for name in personal if name in head}


def keep(personal: Sequence[str], trained: Parameters, memory: Memory, server_round: int) -> None:
    """Device half, after training: the device's own layers, unless training went wrong."""
    if all(bool(np.isfinite(each).all()) for each in trained.values()):
        memory.write(HEAD, server_round, {name: trained[name] for name in personal})
