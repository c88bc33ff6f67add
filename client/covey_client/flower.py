"""A Flower ClientApp around whatever answers deliveries: the agent beside it, or a simulated device."""

from collections.abc import Callable

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from covey.delivery import CATEGORIES, NOT_SET_UP, STAGES, Delivery
from covey.errors import ProtocolError
from covey_client.owner_log import to_log
from covey_strategies.wire import REFUSED, read, reply_message

Answerer = Callable[[Delivery, Context], bytes]
"""Gives the bytes of a reply, or raises ProtocolError with what the server may know of why not."""


def client_app(answer: Answerer) -> ClientApp:
    """A ClientApp that answers every query as `answer` does; see `handled`.

    It takes a stage in the message's type or, from a server that knows one function a category, in its
    content.
    """
    app = ClientApp()

    def handle(message: Message, context: Context) -> Message:
        return handled(answer, message, context)

    register = {"train": app.train, "evaluate": app.evaluate, "query": app.query}
    for category in sorted(set(CATEGORIES.values())):
        register[category]()(handle)
        for stage in STAGES:
            register[category](stage)(handle)
    return app


def handled(answer: Answerer, message: Message, context: Context) -> Message:
    """The one reply to a message: bytes, or an error.

    A plan that the device refuses is answered by an error with the reason, which depends on the plan and the
    model alone. Any other failure is told to the device's own log and answered by a constant: Flower would
    send an exception's text to the server, and such a text may speak of the data.
    """
    try:
        return reply_message(answer(read(message), context), message)
    except ProtocolError as error:
        return Message(Error(REFUSED, error.message), reply_to=message)
    except Exception as error:  # noqa: BLE001 - the device's boundary; see above
        to_log(f"{type(error).__name__}: {error}")
        return Message(Error(REFUSED, NOT_SET_UP), reply_to=message)
