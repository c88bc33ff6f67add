"""The work of one plan: arithmetic by the model and the examples, bytes by what the protocol sends.

Arithmetic is counted on the model itself (torch.utils.flop_counter), forward only: it knows too little of
the backward pass of grouped convolutions. Backward takes twice the forward pass, as is usual (each layer's
gradients towards its input and its weights): training takes three times it. What only touches examples, such
as statistics, is too little to count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from covey import plan as plans
from covey import ring
from covey.arrays import Parameters
from covey.plan import Calibrate, Compare, Gradient, Plan, Train, Validate
from covey.planner import Cohort, traffic
from covey.secagg.graph import quorum
from covey_models.model import Model
from covey_models.training import seeded
from covey_simulations.availability.keyed import Floats, Nodes
from covey_simulations.availability.work import Work
from covey_simulations.data.devices import Sizes

BACKWARD: Final = 2
"""Of the forward pass."""
_BATCH: Final = 4


@cache
def forward(model: Model) -> float:
    """Floating-point operations of one example's forward pass."""
    with seeded(0), FlopCounterMode(display=False) as counter, torch.no_grad():
        model.build()(torch.zeros((_BATCH, *model.input_shape)))
    return float(counter.get_total_flops()) / _BATCH


@dataclass(frozen=True)
class Weigher:
    """What plans ask of a fleet's devices.

    Attributes:
        model: What they train.
        sizes: How many examples each has, in order.
        first: The number of the first.
    """

    model: Model
    sizes: Sizes
    first: int

    def work(self, plan: Plan, parameters: Parameters, nodes: Nodes) -> Work:
        """What one plan asks of each of some devices.

        Args:
            plan: What is asked.
            parameters: What goes with it.
            nodes: Who is asked.
        """
        down, up = sizes_of(plan, parameters)
        return Work(forward(self.model) * self._passes(plan, nodes), down, up)

    def _passes(self, plan: Plan, nodes: Nodes) -> Floats:
        """Forward passes of one example that each device's part costs."""
        trained, held = (
            side[nodes - self.first].astype(np.float64) for side in (self.sizes.train, self.sizes.held_out)
        )
        match task := plan.task:
            case Train():
                return trained * task.epochs * (1 + BACKWARD)
            case Gradient():
                most = np.minimum(trained, task.examples_cap)
                return most * task.sampling_rate * max(task.augmentations, 1) * (1 + BACKWARD)
            case Validate():
                return held
            case Compare():
                return 2 * held
            case Calibrate():
                return trained
            case _:
                return 0 * trained


def sizes_of(plan: Plan, parameters: Parameters) -> tuple[int, int]:
    """Bytes that one device receives and sends for a plan, about; as `covey_simulations.sent` counts them."""
    if plan.suite is None:
        sent = len(plans.to_bytes(plan)) + sum(each.nbytes for each in parameters.values())
        return sent, ring.packed_size(plan.length, plan.bits)
    suite, asked = plan.suite, plan.cohort
    cohort = Cohort(
        asked,
        plan.corrupt,
        plan.minimum,
        suite.threshold or quorum(asked, plan.corrupt),
        suite.neighbours or asked - 1,
        suite.profile,
    )
    found = traffic(cohort, plan.length, suite.bits, removal=bool(plan.noise and plan.noise.removal))
    return found.down, found.up


def later_stages(plan: Plan) -> Sequence[str]:
    """Stages in which a device is asked again, after its first answer."""
    if plan.masks == "on":
        return ("share", "masked", "consistency", "unmask")
    return ("removal",) if plan.noise is not None and plan.noise.removal else ()
