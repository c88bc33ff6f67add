"""The ClientApp of devices that are in this process: of a simulation."""

from collections.abc import Callable

from flwr.app import ConfigRecord, Context
from flwr.clientapp import ClientApp

from covey_client.flower import client_app
from covey_client.participant import Participant, answered

STATE = "covey"


class ContextMemory:
    """A session in the node's context: of a simulated device, whose process lasts as long as its run.

    Args:
        context: Of the node, for this run.
    """

    def __init__(self, context: Context) -> None:
        self._state = context.state

    @property
    def session(self) -> bytes:
        """The session; empty before the first."""
        record = self._state.get(STATE)
        data = record.get("session") if isinstance(record, ConfigRecord) else None
        return data if isinstance(data, bytes) else b""

    @session.setter
    def session(self, data: bytes) -> None:
        self._state[STATE] = ConfigRecord({"session": data})


def simulated_app(participant_of: Callable[[Context], Participant]) -> ClientApp:
    """A ClientApp over devices in this process, each found by its node's context."""
    return client_app(
        lambda delivery, context: answered(participant_of(context), ContextMemory(context), delivery)
    )
