"""The agent's configuration, `/etc/covey/device.toml`, which only the device's owner writes."""

from pathlib import Path
from typing import Annotated, Final

import msgspec

from covey.errors import ConfigError
from covey_client.conditions import Rules
from covey_client.data_folder import DataTable
from covey_client.limits import Limits
from covey_client.update_table import UpdateTable
from covey_io import settings

PATH: Final = Path("/etc/covey/device.toml")
PAUSED: Final = "paused"
"""In the state folder: there while the owner has paused the device."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86400)]
PerMinute = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class ModelChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model this device trains: one of the zoo, or one in a file of its owner's.

    Attributes:
        name: Of the zoo; empty if `file` is given.
        file: A Python file that defines `MODEL`; it is run.
    """

    name: str = ""
    file: str = ""


class SocketSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the SuperNode's ClientApp asks.

    Attributes:
        path: Of the socket.
        users: Who may ask, by name or number: the SuperNode's user. The agent's own and root always may.
        per_minute: So many messages at most; one sum is five.
        owner: Of the socket on which the agent tells its status, to its own user and root only.
    """

    path: str = "/run/covey/agent.sock"
    users: list[str | int] = []
    per_minute: PerMinute = 120
    owner: str = "/run/covey/owner.sock"


class SessionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stream to the server's session service, over mutual TLS; its certificate is in the state folder.

    Attributes:
        server: Host and port; empty for none: the SuperNode then brings everything.
    """

    server: Annotated[str, msgspec.Meta(pattern=r"\A(\S+:[0-9]{1,5})?\Z")] = ""


class DeviceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of it.

    Attributes:
        model: What it trains.
        data: Where its examples are.
        state: The folder of its keys, claims and budget.
        group: Which of the fleet's groups of devices it belongs to, as "outdoor"; empty for none. A release's
            gate looks at groups one by one, in sums over all devices.
        counter: A file on another storage, such as a second card, that shows if the state was put back.
        unprotected: Lets it answer plans without masks, noise or a policy, for experiments.
        pad_seconds: The time of answers to single-example queries is a multiple of this.
        socket: Where it is asked.
        session: Where it attends.
        when: What the owner lets it do, and when.
        limits: What training is kept in.
        update: Where its models come from, and what a new one must hold.
    """

    model: ModelChoice
    data: DataTable
    state: str = "/var/lib/covey"
    group: Annotated[str, msgspec.Meta(pattern=r"\A([a-z0-9][a-z0-9-]{0,62})?\Z")] = ""
    counter: str = ""
    unprotected: bool = False
    pad_seconds: Seconds = 5.0
    socket: SocketSettings = SocketSettings()
    session: SessionSettings = SessionSettings()
    when: Rules = Rules()
    limits: Limits = Limits()
    update: UpdateTable = UpdateTable()


def read(path: Path) -> DeviceFile:
    """The configuration in a file.

    Raises:
        ConfigError: Names file, key and what was expected.
    """
    file = settings.load(path, DeviceFile)
    if bool(file.model.name) == bool(file.model.file):
        raise ConfigError(str(path), "[model]", 'give name = "digits", or file = "/path/model.py"')
    return file
