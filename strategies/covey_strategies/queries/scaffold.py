"""Control variates against client drift: SCAFFOLD.

Karimireddy et al., ICML 2020, arXiv:1910.06378, algorithm 1, option II. Where devices hold different data,
each one's steps lead to its own optimum. A device therefore keeps c_i, an estimate of its own gradient, the
server keeps c, an estimate of everybody's, and each local step goes along g + c - c_i. After K steps at the
rate η from x to y the device takes

    c_i⁺ = c_i - c + (x - y) / (K η)

and the server c⁺ = c + 1/N Σ_{i in S} (c_i⁺ - c_i), over the cohort S and all N devices.

c travels with the model; c_i stays on its device. The change of c_i is one more part of the one private sum,
clipped, noised and accounted with the rest. A device keeps what it sent: it clips the change before it takes
it up, so that c stays the mean of all c_i but for the noise.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters, layout_of
from covey.encode import Shape, clip
from covey.plan import Train
from covey_models.training import number_of_batches
from covey_strategies.beside import Arrays, Round
from covey_strategies.queries.memory import Memory

PART: Final = "control"
"""In an answer, and what it is kept under."""
SHARE: Final = 1.0
"""Of the sensitivity that the update has: both are as long, and both decide the next model."""
_PREFIX: Final = "control/"


def joined(parameters: Parameters, control: Parameters) -> Parameters:
    """The model and the server's control as they are sent, in order of their names."""
    return dict(
        sorted({**parameters, **{f"{_PREFIX}{name}": each for name, each in control.items()}}.items())
    )


def parted(sent: Parameters) -> tuple[Parameters, Parameters]:
    """The inverse of `joined`."""
    control = {name.removeprefix(_PREFIX): each for name, each in sent.items() if name.startswith(_PREFIX)}
    return {name: each for name, each in sent.items() if not name.startswith(_PREFIX)}, control


def zero(parameters: Parameters) -> Parameters:
    """A control that corrects nothing: where all begin."""
    return {name: np.zeros_like(value) for name, value in parameters.items()}


def shape(task: Train, length: int) -> Shape:
    """How a control's change is laid out.

    Args:
        task: What is asked.
        length: Of the update.
    """
    return Shape(length, task.control_clip, SHARE)


def correction(control: Parameters, memory: Memory, server_round: int) -> Parameters:
    """Device half, before training: c - c_i."""
    own = memory.read(PART, server_round) or zero(control)
    return {name: control[name] - own[name] for name in control}


def steps(task: Train, examples: int) -> int:
    """K, the local steps of a device with so many examples."""
    return task.epochs * number_of_batches(examples, task.batch_size)


def change(task: Train, control: Parameters, update: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Device half, after training: c_i⁺ - c_i = -c - (y - x) / (K η), clipped.

    Args:
        task: What was asked.
        control: c, as it was sent.
        update: y - x, flat.
        count: K; a device that took no step changes nothing.
    """
    if not count:
        return np.zeros_like(update)
    found = -layout_of(control).flatten(control) - update / (count * task.learning_rate)
    return clip(found[None], task.control_clip).reshape(-1)


def keep(memory: Memory, server_round: int, changed: NDArray[np.float64], control: Parameters) -> None:
    """Device half, last: take the change up; one that is not finite was not sent either.

    Args:
        memory: The device's.
        server_round: The round.
        changed: Of `change`.
        control: c, for its layout.
    """
    if not np.isfinite(changed).all():
        return
    layout = layout_of(control)
    own = memory.read(PART, server_round) or zero(control)
    memory.write(PART, server_round, layout.unflatten(layout.flatten(own) + changed))


@dataclass(frozen=True)
class Control:
    """Server half: c, between rounds; see `covey_strategies.beside.Beside`.

    Attributes:
        arrays: c; None before the first round.
    """

    arrays: Parameters | None = None

    def asked(self, task: Train, parameters: Parameters) -> tuple[Train, Parameters]:
        """The model with c beside it."""
        return task, joined(parameters, self.arrays or zero(parameters))

    def learnt(self, round_: Round) -> "Control":
        """With c⁺."""
        control = parted(round_.sent)[1]
        layout = layout_of(control)
        moved = layout.flatten(control) + round_.sums[PART] / round_.fleet
        return Control(layout.unflatten(moved))

    def saved(self) -> Arrays:
        """As it is sent, by name."""
        return {f"{_PREFIX}{name}": value for name, value in (self.arrays or {}).items()}

    def restored(self, state: Arrays) -> "Control":
        """The inverse of `saved`."""
        found = {
            name.removeprefix(_PREFIX): np.asarray(value, np.float32)
            for name, value in sorted(state.items())
            if name.startswith(_PREFIX)
        }
        return Control(found or None)
