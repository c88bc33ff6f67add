"""The ClientApp: a message in, the device's one answer out.

On a fleet Flower loads `app`; which data and model it answers with is the device owner's word, given in the
node's configuration, not the server's. Simulations build the same app over devices in memory.
"""

import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from covey.errors import ConfigError, ProtocolError
from covey_client.local_data import read
from covey_models.registry import find
from covey_strategies.queries.answer import answer
from covey_strategies.queries.device import Device
from covey_strategies.wire import answer_message, read_plan

DeviceOf = Callable[[Context], Device]

REFUSED = 1000  # our own reply code, outside Flower's range (flwr.common.constant.ErrorCode)


def build(device_of: DeviceOf) -> ClientApp:
    """A ClientApp that answers every query as the device that `device_of` finds.

    A plan that the device refuses is answered by an error with the reason: it depends on the plan alone.
    """
    client_app = ClientApp()

    def handle(message: Message, context: Context) -> Message:
        try:
            sent, plan, parameters = read_plan(message)
            vector = answer(plan, parameters, device_of(context))
        except ProtocolError as error:
            return Message(Error(REFUSED, error.message), reply_to=message)
        return answer_message(sent, vector, message)

    client_app.train()(handle)
    client_app.evaluate()(handle)
    client_app.query("statistics")(handle)
    return client_app


def device_of_node(context: Context) -> Device:
    """The device described by a SuperNode's `--node-config 'data="…npz" model="…"'`.

    Raises:
        ConfigError: A key is missing.
        DataError: The file is not what `covey_client.local_data.read` expects.
    """
    model = find(_text(context, "model"))
    path = Path(_text(context, "data"))
    return Device(path.stem, model, read(path, model.classes), secrets.randbits(62), _to_stderr)


def _text(context: Context, key: str) -> str:
    value = context.node_config.get(key)
    if not isinstance(value, str):
        raise ConfigError("node configuration", key, f"start the SuperNode with --node-config '{key}=\"…\"'")
    return value


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"covey: {line}\n")


app = build(device_of_node)
