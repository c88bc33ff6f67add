"""One private sum: the answers of a cohort, added in the ring and decoded.

The sum is taken in clear here: the server sees each device's vector. Plans say so (`masks: "none"`,
`noise: "none"`). What follows a sum sees only the total, which is all that a masked sum will give it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from flwr.app import Message

from covey import encode, ring
from covey import plan as plans
from covey.encode import Vectors
from covey.errors import ProtocolError, TooFewDevices
from covey.plan import Plan
from covey.ring import Ring
from covey_strategies.wire import read_answer


@dataclass(frozen=True)
class PrivateSum:
    """The outcome of one plan.

    Attributes:
        sums: The decoded total, by part.
        devices: Devices in it.
        refused: What was not counted, and why, one line each.
    """

    sums: Vectors
    devices: int
    refused: tuple[str, ...]


def collect(plan: Plan, sent: bytes, cohort: Collection[int], replies: Iterable[Message]) -> PrivateSum:
    """Add up the answers to one plan.

    Args:
        plan: What was asked.
        sent: The plan's bytes as sent.
        cohort: Who was asked: the scales leave room for no more.
        replies: In any order; a device's second answer is not counted.

    Raises:
        TooFewDevices: Fewer usable answers than the plan's minimum; nothing is decoded.
    """
    answers, refused = _sort(plan, plans.digest(sent), cohort, replies)
    if len(answers) < plan.minimum:
        answered = f"{len(answers)} of {plan.cohort} devices answered, the minimum is {plan.minimum}"
        because = f"; first refusal: {refused[0]}" if refused else ""
        raise TooFewDevices(
            f"round {plan.round}: {answered}{because}",
            hint="bring devices up and resume, or start anew with a lower federation.minimum_devices",
        )
    total = ring.add(answers.values(), plan.length)
    return PrivateSum(encode.decode(plan.parts, total), len(answers), tuple(refused))


def _sort(
    plan: Plan, digest: str, cohort: Collection[int], replies: Iterable[Message]
) -> tuple[dict[int, Ring], list[str]]:
    answers: dict[int, Ring] = {}
    refused: list[str] = []
    for reply in replies:
        device = reply.metadata.src_node_id
        try:
            vector = read_answer(reply, plan, digest)
        except ProtocolError as error:
            refused.append(error.message)
            continue
        if device not in cohort or device in answers:
            refused.append(f"node {device}: {'a second answer' if device in answers else 'was not asked'}")
        else:
            answers[device] = vector
    return answers, refused
