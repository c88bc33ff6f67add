"""The ClientApp that a SuperNode runs: it carries bytes to the agent beside it, and the agent's answer back.

It holds no data, no keys and no model, and understands nothing of what it carries. Where the agent listens
stands in the node's configuration, which is the device owner's: `--node-config
'agent="/run/covey/agent.sock"'`.
"""

import socket
from typing import Final

from flwr.app import Context

from covey.delivery import Delivery, Refusal, answer, to_bytes
from covey.errors import ConfigError, ProtocolError
from covey_client import frames
from covey_client.flower import client_app

AGENT: Final = "/run/covey/agent.sock"
LONGEST_SECONDS: Final = 24 * 3600.0
"""A plan's own deadline ends training long before."""

CONNECT_SECONDS: Final = 10.0


def carried(delivery: Delivery, context: Context) -> bytes:
    """What the agent answers.

    Raises:
        ProtocolError: The agent refuses; the reason is its own.
        ConfigError: The node's configuration names no socket.
        OSError: No agent listens there.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(_agent(context))
        frames.send(connection, to_bytes(delivery))
        connection.settimeout(LONGEST_SECONDS)
        data = frames.receive(connection, blame="agent")
    if data is None:
        raise OSError("the agent closed the connection")
    said = answer(data, blame="agent")
    if isinstance(said, Refusal):
        raise ProtocolError(said.reason, blame="server")
    return said.data


def _agent(context: Context) -> str:
    path = context.node_config.get("agent", AGENT)
    if not isinstance(path, str):
        raise ConfigError(
            "node configuration", "agent", "start the SuperNode with --node-config 'agent=\"…\"'"
        )
    return path


app = client_app(carried)
