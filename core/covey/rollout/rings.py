"""Who is in which ring, counted: what a server knows of a rollout without any device's answer."""

from collections import Counter
from collections.abc import Collection

from covey.rollout.choosing import ring_of
from covey.rollout.instruction import Instruction
from covey.rollout.plan import RolloutPlan


def sizes(plan: RolloutPlan, tokens: Collection[str]) -> tuple[int, ...]:
    """How many of these devices are in each ring and in none before it, one number a ring.

    Args:
        plan: The rollout's.
        tokens: Of the fleet's devices, each once.
    """
    found = Counter(ring_of(plan, token) for token in tokens)
    return tuple(found[number] for number in range(len(plan.rings)))


def expected(instruction: Instruction, tokens: Collection[str]) -> tuple[int, ...]:
    """How many devices should report in each open ring, one number a ring.

    A device on hold or with a pin does not follow the rollout: it is not counted, whatever it reports.

    Args:
        instruction: What devices are told.
        tokens: Of the fleet's devices, each once.
    """
    apart = {*instruction.holds, *(pin.device for pin in instruction.pins)}
    following = [token for token in tokens if token not in apart]
    return sizes(instruction.planned, following)[: instruction.opened]
