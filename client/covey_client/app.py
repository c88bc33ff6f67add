"""The ClientApp: a message in, the device's one reply out.

On a fleet Flower loads `app`; which data, model and keys it answers with is the device owner's word, given in
the node's configuration, not the server's. Simulations build the same app over devices in memory.
"""

import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from flwr.app import ConfigRecord, Context, Error, Message
from flwr.clientapp import ClientApp

from covey.errors import ConfigError, ProtocolError
from covey_client.budget import FileJournal, MemoryJournal
from covey_client.claims import FileClaims
from covey_client.local_data import FileData
from covey_client.participant import Participant, begin, go_on
from covey_client.seeds import SystemSeeds
from covey_io.device_keys import read_keys
from covey_models.registry import find
from covey_strategies.queries.device import Device
from covey_strategies.wire import CATEGORIES, STAGES, Asked, check_kind, read, reply_message

ParticipantOf = Callable[[Context], Participant]

NOT_SET_UP = "this device cannot answer; its own log says why"
REFUSED = 1000  # our own reply code, outside Flower's range (flwr.common.constant.ErrorCode)
PAD_SECONDS = 5.0
STATE = "covey"


class ContextMemory:
    """A session in the node's context, which Flower keeps in the SuperNode's memory between messages.

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


def build(participant_of: ParticipantOf) -> ClientApp:
    """A ClientApp that answers every query as the participant that `participant_of` finds.

    A plan that the device refuses is answered by an error with the reason, which depends on the plan and the
    model alone. Any other failure is told to the device's own log and answered by a constant: Flower would
    send an exception's text to the server, and such a text may speak of the data.
    """
    client_app = ClientApp()

    def handle(message: Message, context: Context) -> Message:
        try:
            return _handle(message, participant_of(context), ContextMemory(context))
        except ProtocolError as error:
            return Message(Error(REFUSED, error.message), reply_to=message)
        except Exception as error:  # noqa: BLE001 - the device's boundary; see above
            _to_stderr(f"{type(error).__name__}: {error}")
            return Message(Error(REFUSED, NOT_SET_UP), reply_to=message)

    register = {"train": client_app.train, "evaluate": client_app.evaluate, "query": client_app.query}
    for category in sorted(set(CATEGORIES.values())):
        for stage in STAGES:
            register[category](stage)(handle)
    return client_app


def _handle(message: Message, participant: Participant, memory: ContextMemory) -> Message:
    received = read(message)
    if isinstance(received, Asked):
        reply = begin(participant, memory, received, lambda plan: check_kind(message, plan))
    else:
        reply = go_on(participant, memory, received)
    return reply_message(reply, message)


def participant_of_node(context: Context) -> Participant:
    """The device described by a SuperNode's `--node-config 'data="…npz" model="…" keys="…"'`.

    `keys` names the folder of the device's keys, in which its claims and its budget are kept as well;
    `counter` a file on another storage, such as a second card, that shows if they were put back. Without
    keys, and with `unprotected=true`, the device answers plans without masks, noise or a policy, for
    experiments.

    Raises:
        ConfigError: A key is missing, or of another type.
        InputError: No such model.
    """
    model = find(_text(context, "model"))
    path = Path(_text(context, "data"))
    folder = Path(_text(context, "keys")) if "keys" in context.node_config else None
    unprotected = context.node_config.get("unprotected", False)
    if not isinstance(unprotected, bool):  # the text "false" would count as true
        raise ConfigError("node configuration", "unprotected", "true or false, without quotation marks")
    if folder is None and not unprotected:
        raise ConfigError(
            "node configuration", "keys", "name the folder of the device's keys, or set unprotected=true"
        )
    memory = folder or path.parent / f"{path.stem}-claims"
    claims = FileClaims(memory / "claims.json")
    data = FileData(path, model.classes, memory / f"{path.stem}.split.json")
    device = Device(path.stem, model, data, secrets.randbits(62), _to_stderr)
    keys = None if folder is None else read_keys(folder)
    counter = Path(_text(context, "counter")) if "counter" in context.node_config else None
    journal = MemoryJournal() if folder is None else FileJournal(folder / "budget.jsonl", counter)
    return Participant(device, SystemSeeds(), claims, journal, keys, unprotected, PAD_SECONDS)


def _text(context: Context, key: str) -> str:
    value = context.node_config.get(key)
    if not isinstance(value, str):
        raise ConfigError("node configuration", key, f"start the SuperNode with --node-config '{key}=\"…\"'")
    return value


def _to_stderr(line: str) -> None:
    with suppress(OSError):  # a log that cannot be written must not become an answer
        sys.stderr.write(f"covey: {line}\n")


app = build(participant_of_node)
