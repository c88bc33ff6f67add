"""What the agent tells its owner, and nobody else, over a socket that only the owner's user can open."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from covey import budget as budgets
from covey.accounting import round_up
from covey.errors import CoveyError, InputError, ProtocolError, StateError
from covey_client import frames
from covey_client.agent import Agent
from covey_client.agent_socket import Handle

DELTA: Final = 1e-5
ASK: Final = b"status"
SECONDS: Final = 10.0
DIGITS: Final = 3
PAGE: Final = 4096
LIMIT: Final = 1 << 20


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A device at a glance.

    Attributes:
        device: Its name in the fleet; empty while it is not enrolled.
        does: "waits", or what it answers.
        since: Unix seconds.
        paused: By its owner.
        hindered: Why it begins nothing now; empty if it would.
        locked: Why it answers nothing any more; empty while it does.
        answers: What it has answered in its whole life, by kind of query.
        epsilon: What that has cost at `delta`, at most; None if it cannot be told.
        delta: Of it.
        policy: Serial of the policy in force; None before the first.
        roster: Serial of the newest roster it has seen.
        ledger: Entries of the longest ledger it has seen.
        deliveries: Answered since the agent was started.
        refused: Of them.
        last_refusal: Why the last was.
        session: Of the stream to the session service; empty if there is none.
        started: Unix seconds.
        rss_mb: Memory of the agent.
    """

    device: str
    does: str
    since: float
    paused: bool
    hindered: str
    locked: str
    answers: dict[str, int]
    epsilon: float | None
    delta: float
    policy: int | None
    roster: int
    ledger: int
    deliveries: int
    refused: int
    last_refusal: str
    session: str
    started: float
    rss_mb: float


@dataclass(frozen=True)
class Observed:
    """What is looked at.

    Attributes:
        agent: The agent.
        hindrance: Why it begins nothing now; empty if it would.
        session: Of the stream to the session service.
        started: Unix seconds.
    """

    agent: Agent
    hindrance: Callable[[], str]
    session: Callable[[], str]
    started: float


def status_of(observed: Observed) -> Status:
    """The device now."""
    agent = observed.agent
    participant, doing = agent.participant, agent.doing
    budget = participant.journal.budget
    kinds = [each.kind for each in budget.reserved.values()]
    return Status(
        device="" if participant.keys is None else participant.keys.me.device,
        does=doing.what,
        since=doing.since,
        paused=agent.paused(),
        hindered=observed.hindrance(),
        locked=budget.locked,
        answers={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        epsilon=_epsilon(budget),
        delta=DELTA,
        policy=None if budget.policy is None else budget.policy.serial,
        roster=participant.claims.least_serial,
        ledger=max((each.size for each in budget.seen.values()), default=0),
        deliveries=doing.answered,
        refused=doing.refused,
        last_refusal=doing.last_refusal,
        session=observed.session(),
        started=observed.started,
        rss_mb=round(_rss() / 2**20, 1),
    )


def _epsilon(budget: budgets.Budget) -> float | None:
    try:
        return round_up(budgets.spent(budget, DELTA), DIGITS)
    except (CoveyError, ArithmeticError, ValueError):
        return None


def _rss() -> int:
    """Resident bytes of this process (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE


def telling(observed: Observed) -> Handle:
    """Answers the owner's socket."""

    def handle(data: bytes) -> bytes:
        if data != ASK:
            raise ProtocolError("the owner's socket tells its status and nothing else", blame="local")
        return msgspec.json.encode(status_of(observed))

    return handle


def ask(path: Path) -> Status:
    """The status of the agent that listens on an owner's socket.

    Raises:
        InputError: None does, or it belongs to somebody else.
        StateError: It says something else.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        try:
            connection.connect(str(path))
            frames.send(connection, ASK)
            data = frames.receive(connection, blame="agent", limit=LIMIT)
        except PermissionError as error:
            raise InputError(
                f"{path}: permission denied", hint="run it as the agent's user, or as root"
            ) from error
        except OSError as error:
            raise InputError(
                f"no agent answers on {path}: {(error.strerror or str(error)).lower()}",
                hint="start it: systemctl start covey-agent (or covey device run); then covey device doctor",
            ) from error
    try:
        return msgspec.json.decode(data or b"", type=Status)
    except msgspec.DecodeError as error:
        raise StateError(
            f"{path}: the agent said something else: {error}", hint="is it another version?"
        ) from error


def told(status: Status, now: float) -> list[str]:
    """Lines for a person."""
    policy = "none seen yet" if status.policy is None else f"{status.policy} in force"
    answers = ", ".join(f"{count} {kind}" for kind, count in status.answers.items()) or "none"
    rows = [
        ("device", status.device or "not enrolled: answers experiments only"),
        ("agent", f"{_state(status)}, since {_ago(now - status.since)}; up {_ago(now - status.started)}"),
        ("memory", f"{status.rss_mb} MB"),
        ("answers", f"{answers} in its whole life"),
        ("privacy", _spent(status)),
        ("policy", f"{policy}; roster {status.roster}; ledger of {status.ledger} entries"),
        ("asked", f"{status.deliveries} times since it was started, {status.refused} refused"),
    ]
    if status.last_refusal:
        rows.append(("refused", status.last_refusal))
    if status.session:
        rows.append(("session", status.session))
    return [f"{name:8} {text}" for name, text in rows]


def _state(status: Status) -> str:
    if status.locked:
        return f"LOCKED: {status.locked}"
    if status.paused:
        return "paused by its owner (covey device resume)"
    if status.does == "waits" and status.hindered:
        return f"begins nothing now: {status.hindered}"
    return status.does


def _spent(status: Status) -> str:
    if status.epsilon is None:
        return "cannot be computed from the journal"
    return f"ε ≤ {status.epsilon} at δ = {status.delta:g}, of everything it has answered"


def _ago(seconds: float) -> str:
    """Roughly how long."""
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def now() -> float:
    """Unix seconds."""
    return time.time()
