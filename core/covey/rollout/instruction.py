"""What devices are told now: one small file a fleet, replaced whole, with a serial that only grows.

Target `rollout/instruction.json` of the TUF repository, signed by the operator's rollout key through its
delegation. It carries a plan with its approvals, so that a device which asks for them can check that two
people agreed; the rollout key alone opens rings, pauses, stops and rolls back to what the plan names.
"""

from typing import Annotated, Final, Literal

import msgspec
import rfc8785

from covey.errors import ProtocolError
from covey.ledger.note import parse
from covey.rollout import plan as plans
from covey.rollout.plan import Image, RolloutPlan, Token

FORMAT: Final = "covey-rollout/1"
TARGET: Final = "rollout/instruction.json"
MAX_INSTRUCTION_BYTES: Final = 1 << 19

State = Literal["running", "paused", "aborted", "rolled-back", "complete"]


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A device that runs this image whatever is rolled out.

    Attributes:
        device: Its token.
        image: What it runs.
    """

    device: Token
    image: Image


class Instruction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What devices are told.

    Attributes:
        fleet: The fleet's name.
        serial: Grows with every instruction; a device follows none older than it has seen.
        plan: The plan as a signed note: its text and who approved it.
        opened: So many rings are open.
        state: "running": devices of open rings install. "paused": nobody begins. "aborted": nobody begins and
            nothing is taken back. "rolled-back": all return to the plan's fallback. "complete": as running.
        pins: Devices that run something else.
        holds: Devices that change nothing.
        format: Of this format.
    """

    fleet: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    serial: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
    plan: Annotated[str, msgspec.Meta(min_length=1, max_length=plans.MAX_PLAN_BYTES)]
    opened: Annotated[int, msgspec.Meta(ge=0, le=8)]
    state: State
    pins: Annotated[tuple[Pin, ...], msgspec.Meta(max_length=256)] = ()
    holds: Annotated[tuple[Token, ...], msgspec.Meta(max_length=1024)] = ()
    format: Literal["covey-rollout/1"] = FORMAT

    @property
    def planned(self) -> RolloutPlan:
        """The plan's content; of an instruction from `from_bytes` it can be read."""
        return plans.from_text(parse(self.plan.encode(), blame="operator").text, blame="operator")


def to_bytes(instruction: Instruction) -> bytes:
    """An instruction's one spelling (RFC 8785)."""
    return rfc8785.dumps(msgspec.to_builtins(instruction))


def from_bytes(data: bytes, *, blame: str = "operator") -> Instruction:
    """Read an instruction strictly, its plan included. Who approved the plan is not checked here.

    Raises:
        ProtocolError: Too large, malformed, not in its one spelling, or at odds with its plan.
    """
    if len(data) > MAX_INSTRUCTION_BYTES:
        raise ProtocolError(
            f"an instruction of {len(data)} bytes, at most {MAX_INSTRUCTION_BYTES}", blame=blame
        )
    try:
        instruction = msgspec.json.decode(data, type=Instruction)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a malformed instruction: {error}", blame=blame) from error
    if to_bytes(instruction) != data:
        raise ProtocolError("an instruction that is not in its one spelling (RFC 8785)", blame=blame)
    plan = plans.from_text(parse(instruction.plan.encode(), blame=blame).text, blame=blame)
    if plan.fleet != instruction.fleet:
        raise ProtocolError("an instruction with a plan of another fleet", blame=blame)
    if instruction.opened > len(plan.rings):
        raise ProtocolError("an instruction that opens more rings than its plan has", blame=blame)
    if len({pin.device for pin in instruction.pins}) != len(instruction.pins):
        raise ProtocolError("an instruction that pins a device twice", blame=blame)
    return instruction


def image_names(instruction: Instruction) -> tuple[Image, ...]:
    """Every image that the instruction may send a device to."""
    plan = instruction.planned
    some = [plan.image, *([plan.fallback] if plan.fallback else []), *(pin.image for pin in instruction.pins)]
    return tuple(some)
