"""Where a fleet's rollouts have their things: folder, ledger, repository, keys, roster."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from covey.errors import InputError, ProtocolError
from covey.identity import Roster, read_roster
from covey.rollout.plan import token
from covey.rollout.rings import expected
from covey.rollout.rolling_state import Rollout
from covey_io.ledger_files import LedgerFiles
from covey_server import server_file
from covey_server.rollout_desk import RolloutDesk
from covey_server.rollout_ledger import LedgerOfDecisions, clock, read_rollout_log
from covey_server.rollout_publishing import PlainFolder, Publisher
from covey_server.rollout_store import RolloutFolder

if TYPE_CHECKING:
    from covey_server.rollout_tuf import TufPublisher

ROLLOUTS: Final = "rollouts"
REPOSITORY: Final = "repository"
KEYS: Final = "tuf"


@dataclass(frozen=True)
class Options:
    """What a person gave on the command line.

    Attributes:
        server: The server's configuration.
        ledger: The fleet's; None for that of the server's runs.
        repository: The TUF repository; None for STATE/repository.
        keys: Its online keys; None for OPERATOR/tuf.
        plain: Publish into this folder instead, without signatures; None for the repository.
    """

    server: Path
    ledger: Path | None = None
    repository: Path | None = None
    keys: Path | None = None
    plain: Path | None = None


@dataclass(frozen=True)
class Places:
    """Where everything is.

    Attributes:
        rollouts: Their folder.
        ledger: The fleet's ledger.
        operator: The operator's folder.
        repository: The TUF repository.
        keys: Its online keys.
        plain: See `Options`.
    """

    rollouts: RolloutFolder
    ledger: LedgerFiles
    operator: Path
    repository: Path
    keys: Path
    plain: Path | None

    @classmethod
    def of(cls, options: Options) -> "Places":
        """From the command line and the server's configuration.

        Raises:
            ConfigError: The configuration cannot be used.
        """
        file = server_file.read(options.server)
        state, operator = file.folder, Path(file.operator)
        return cls(
            RolloutFolder(state.path / ROLLOUTS),
            LedgerFiles(options.ledger or state.runs / "ledger"),
            operator,
            options.repository or state.path / REPOSITORY,
            options.keys or operator / KEYS,
            options.plain,
        )

    def roster(self) -> Roster:
        """The fleet's devices, verified.

        Raises:
            InputError: It cannot be read, or the fleet's owner did not sign it.
        """
        try:
            key = bytes.fromhex((self.operator / "enrolment.pub").read_text("ascii").strip())
            sent = (self.operator / "roster").read_bytes()
            return read_roster(sent, key, now=0, least_serial=0)  # an expired one still says who there is
        except (OSError, ValueError, ProtocolError) as error:
            raise InputError(
                f"{self.operator} holds no roster: {error}", hint="name the operator's folder in SERVER.toml"
            ) from error

    def tokens(self) -> tuple[str, ...]:
        """What static files call the fleet's devices."""
        roster = self.roster()
        return tuple(token(roster.fleet, each.device) for each in roster.certificates)

    def expected(self, rollout: Rollout | None) -> tuple[int, ...]:
        """Devices that should report, for each open ring."""
        return () if rollout is None else expected(rollout.instruction, self.tokens())

    def is_watched(self) -> bool:
        """Whether a policy names who witnesses the ledger."""
        return (self.operator / "policy").exists()

    def publisher(self) -> Publisher:
        """Where instructions go."""
        return PlainFolder(self.plain) if self.plain else self._tuf()

    def desk(self) -> RolloutDesk:
        """Carries rollouts on.

        Raises:
            InputError: The log's keys or the repository cannot be used.
        """
        ledger = LedgerOfDecisions(self.ledger, read_rollout_log(self.operator))
        if self.plain:
            return RolloutDesk(self.rollouts, ledger, PlainFolder(self.plain), clock)
        publisher = self._tuf()
        return RolloutDesk(self.rollouts, ledger, publisher, clock, publisher.check)

    def _tuf(self) -> "TufPublisher":
        from covey_server.rollout_tuf import TufPublisher  # noqa: PLC0415 - takes a while, and memory

        return TufPublisher(self.repository, self.keys)
