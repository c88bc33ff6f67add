"""The ClientApp: a message in, the device's one answer out.

On a fleet Flower loads `app`; which data and model it answers with is the device owner's word, given in the
node's configuration, not the server's. Simulations build the same app over devices in memory.
"""

import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from covey.arrays import layout_of
from covey.errors import ConfigError, ProtocolError
from covey_client.local_data import FileData
from covey_models.registry import find
from covey_models.training import parameters_of
from covey_strategies.queries.answer import answer
from covey_strategies.queries.device import Device
from covey_strategies.wire import answer_message, read_parameters, read_plan

DeviceOf = Callable[[Context], Device]

NOT_SET_UP = "this device cannot answer; its own log says why"
REFUSED = 1000  # our own reply code, outside Flower's range (flwr.common.constant.ErrorCode)


def build(device_of: DeviceOf) -> ClientApp:
    """A ClientApp that answers every query as the device that `device_of` finds.

    A plan that the device refuses is answered by an error with the reason, which depends on the plan and the
    model alone. Any other failure is told to the device's own log and answered by a constant: Flower would
    send an exception's text to the server, and such a text may speak of the data.
    """
    client_app = ClientApp()

    def handle(message: Message, context: Context) -> Message:
        try:
            return _answer(message, device_of(context))
        except ProtocolError as error:
            return Message(Error(REFUSED, error.message), reply_to=message)
        except Exception as error:  # noqa: BLE001 - the device's boundary; see above
            _to_stderr(f"{type(error).__name__}: {error}")
            return Message(Error(REFUSED, NOT_SET_UP), reply_to=message)

    client_app.train()(handle)
    client_app.evaluate()(handle)
    client_app.query("statistics")(handle)
    return client_app


def _answer(message: Message, device: Device) -> Message:
    sent, plan, record = read_plan(message)
    parameters = read_parameters(record, layout_of(parameters_of(device.network)))
    return answer_message(sent, answer(plan, parameters, device), message)


def device_of_node(context: Context) -> Device:
    """The device described by a SuperNode's `--node-config 'data="…npz" model="…"'`.

    Raises:
        ConfigError: A key is missing.
        InputError: No such model.
    """
    model = find(_text(context, "model"))
    path = Path(_text(context, "data"))
    return Device(path.stem, model, FileData(path, model.classes), secrets.randbits(62), _to_stderr)


def _text(context: Context, key: str) -> str:
    value = context.node_config.get(key)
    if not isinstance(value, str):
        raise ConfigError("node configuration", key, f"start the SuperNode with --node-config '{key}=\"…\"'")
    return value


def _to_stderr(line: str) -> None:
    with suppress(OSError):  # a log that cannot be written must not become an answer
        sys.stderr.write(f"covey: {line}\n")


app = build(device_of_node)
