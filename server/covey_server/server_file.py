"""The server's configuration, `/etc/covey/server.toml`.

state = "/var/lib/covey-server"    # runs, queue, logs, SuperLink's database
operator = "/etc/covey/operator"   # what `covey fleet init` made for the server's host

[superlink]
port = 9480                        # on 127.0.0.1; the reverse proxy forwards /v1/fleet/ and /health to it

[enrolment]
port = 9481                        # on 127.0.0.1; the proxy forwards /enrol to it; 0 for none

[sessions]
address = "0.0.0.0:9482"           # gRPC with mutual TLS, reached by devices directly; "" for none

[runs]
attempts = 5                       # in a row without a new round, and a run has failed

Everything has a default, but sessions: without an address, a run uses Flower's messages alone.
"""

from pathlib import Path
from typing import Annotated, Final

import msgspec

from covey.errors import ConfigError
from covey_io import settings

PATH: Final = Path("/etc/covey/server.toml")

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Attempts = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Address = Annotated[str, msgspec.Meta(pattern=r"\A(\S+:[0-9]{1,5})?\Z")]


class SuperLinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Flower's SuperLink, on 127.0.0.1 only: whoever reaches it whole may run code on every node.

    Attributes:
        port: Where it listens.
    """

    port: Port = 9480


class EnrolmentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where devices ask to be admitted, on 127.0.0.1.

    Attributes:
        port: Where it listens; 0 for no such service: devices then enrol by files.
    """

    port: Port = 9481


class SessionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The session service, which a run's ServerApp hosts.

    Attributes:
        address: Host and port; empty for none: everything then goes over Flower's messages.
    """

    address: Address = ""


class RunSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How runs are gone on with.

    Attributes:
        attempts: So many in a row that bring no new round, and the run has failed.
    """

    attempts: Attempts = 5


class ServerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of it.

    Attributes:
        state: What the server keeps.
        operator: The operator's keys; see `covey_server.operator`.
        superlink: Flower's part.
        enrolment: Where devices ask to be admitted.
        sessions: The second transport.
        runs: How runs are gone on with.
    """

    state: str = "/var/lib/covey-server"
    operator: str = "/etc/covey/operator"
    superlink: SuperLinkSettings = SuperLinkSettings()
    enrolment: EnrolmentSettings = EnrolmentSettings()
    sessions: SessionSettings = SessionSettings()
    runs: RunSettings = RunSettings()

    @property
    def folder(self) -> "StateFolder":
        """Where everything is."""
        return StateFolder(Path(self.state))


class StateFolder(msgspec.Struct, frozen=True):
    """What is where in the state folder.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def superlink(self) -> Path:
        """Flower's database and which nodes stand in it; to be kept, or deleted, together."""
        return self.path / "superlink"

    @property
    def flower(self) -> Path:
        """FLWR_HOME of everything of Flower's on this host."""
        return self.path / "flower"

    @property
    def bundle(self) -> Path:
        """The manifest that `flwr run` sends."""
        return self.path / "covey-federation"

    @property
    def orders(self) -> Path:
        """Runs that somebody asked for; see `covey_server.orders`."""
        return self.path / "orders"

    @property
    def runs(self) -> Path:
        """The runs' own folders, and their ledger."""
        return self.path / "runs"

    @property
    def status(self) -> Path:
        """What the server said of itself last."""
        return self.path / "status.json"

    def log(self, part: str) -> Path:
        """Of a part of the server."""
        return self.path / "logs" / f"{part}.log"


def read(path: Path) -> ServerFile:
    """The configuration in a file.

    Raises:
        ConfigError: Names file, key and what was expected.
    """
    file = settings.load(path, ServerFile)
    for key, value in (("state", file.state), ("operator", file.operator)):
        if not Path(value).is_absolute():
            raise ConfigError(str(path), key, "expected an absolute path")
    return file
