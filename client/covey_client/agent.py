"""The agent: the one process of a device that may answer, one delivery at a time.

Deliveries come from the SuperNode's ClientApp over a socket, and from the session service over a stream;
which way makes no difference to what is answered. What outlives the agent is in its files: claims, budget,
whether its owner has paused it. A session is in memory only, and ends with it.
"""

import hashlib
import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from covey.delivery import LONGEST_REASON, NOT_SET_UP, Answer, Asked, Delivery, Refusal, Reply, to_bytes
from covey.errors import PlanRefused, ProtocolError
from covey_client.participant import Participant, answered
from covey_io import durable

NOT_NOW: Final = "this device is not available now"

Hindrance = Callable[[], str]
"""Why the device does not begin anything now, for its owner; empty if it does."""


@dataclass
class Session:
    """See `covey_client.participant.Memory`."""

    session: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Doing:
    """What the agent does, for its owner.

    Attributes:
        what: "waits", or what it answers.
        since: Unix seconds.
        answered: Deliveries, since it was started.
        refused: Of them.
        last_refusal: Why the last was.
    """

    what: str
    since: float
    answered: int = 0
    refused: int = 0
    last_refusal: str = ""


class Agent:
    """A device that answers.

    Args:
        participant: What it is.
        hindrance: Asked before a plan is begun, never in the middle of a session.
        pause: A file that is there while the owner has paused the device.
    """

    def __init__(self, participant: Participant, hindrance: Hindrance, pause: Path) -> None:
        self.participant = participant
        self._hindrance = hindrance
        self._pause = pause
        self._session = Session()
        self._advertised = b"", Reply(b"")
        self._one = threading.Lock()
        self._doing = Doing("waits", time.time())

    @property
    def doing(self) -> Doing:
        """What it does now."""
        return self._doing

    def answer(self, delivery: Delivery) -> Answer:
        """What the server may know: a reply, or a reason that depends on the plan and the model alone.

        Waits for its turn: a delivery that is repeated, by Flower or over another transport, meets the reply
        that was stored.
        """
        with self._one:
            self._begins(delivery)
            said = self._answered(delivery)
            self._ends(said)
        return said

    def hindrance(self) -> str:
        """Why it begins nothing now, for its owner; empty if it would."""
        return self._hindrance()

    def paused(self) -> bool:
        """Whether the owner has paused it."""
        return self._pause.exists()

    def _answered(self, delivery: Delivery) -> Answer:
        try:
            digest = hashlib.sha256(to_bytes(delivery)).digest() if isinstance(delivery, Asked) else b""
            if digest and hmac.compare_digest(digest, self._advertised[0]):
                return self._advertised[1]
            self._check_free(delivery)
            reply = Reply(answered(self.participant, self._session, delivery))
        except ProtocolError as error:
            return Refusal(error.message[:LONGEST_REASON])
        except Exception as error:  # noqa: BLE001 - the device's boundary: its text may speak of the data
            self.participant.log(f"{type(error).__name__}: {error}")
            return Refusal(NOT_SET_UP)
        if isinstance(delivery, Asked):
            self._advertised = digest, reply
        return reply

    def _check_free(self, delivery: Delivery) -> None:
        """Refuse to begin anything while it should not; what has begun goes on.

        Raises:
            PlanRefused: Without the reason, which is the owner's business.
        """
        if not isinstance(delivery, Asked):
            return
        if reason := "paused by its owner" if self.paused() else self._hindrance():
            self.participant.log(f"not now: {reason}")
            raise PlanRefused(NOT_NOW)

    def _begins(self, delivery: Delivery) -> None:
        what = "answers a plan" if isinstance(delivery, Asked) else f"answers stage {delivery.stage}"
        self._doing = Doing(
            what, time.time(), self._doing.answered, self._doing.refused, self._doing.last_refusal
        )

    def _ends(self, said: Answer) -> None:
        refused = isinstance(said, Refusal)
        self._doing = Doing(
            "waits",
            time.time(),
            self._doing.answered + 1,
            self._doing.refused + refused,
            said.reason if isinstance(said, Refusal) else self._doing.last_refusal,
        )


def pause(path: Path) -> None:
    """Until `resume`, no plan is begun, whatever happens to the agent's process."""
    durable.make_folder(path.parent)
    durable.replace(path, b"paused by its owner\n")


def resume(path: Path) -> None:
    """End a pause."""
    path.unlink(missing_ok=True)
    durable.sync_folder(path.parent)
