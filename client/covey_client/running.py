"""The agent's process: reads the configuration, opens what it listens on, and waits until it is told to stop.

`python -m covey_client.running CONFIG`. It imports neither torch nor flwr.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

from covey.delivery import Answer, Delivery
from covey.errors import CoveyError, StateError
from covey_client import scopes
from covey_client.agent import Agent
from covey_client.agent_socket import AgentSocket, answering, uids
from covey_client.budget import FileJournal, MemoryJournal
from covey_client.claims import FileClaims
from covey_client.conditions import Conditions
from covey_client.configuration import PAUSED, DeviceFile, read
from covey_client.notify import Systemd
from covey_client.own_policy import remember_policy
from covey_client.owner_log import to_log
from covey_client.participant import Participant
from covey_client.renewal import Renewal, command
from covey_client.retention import retain
from covey_client.seeds import SystemSeeds
from covey_client.status import Observed, telling
from covey_client.training_child import TrainingChild
from covey_client.updates import Updates
from covey_client.updates import command as update_command
from covey_io import durable
from covey_io.device_keys import ADMISSION, read_keys
from covey_io.lock import held

MOST_STATUS: Final = 600
HOUR: Final = 3600.0
LOOK_SECONDS: Final = 10.0
OWNER_ONLY: Final = 0o600
ANYBODY: Final = 0o666  # and the kernel's word on who it is


def agent_of(path: Path, file: DeviceFile) -> Agent:
    """The agent that a configuration describes.

    Args:
        path: Of the configuration; the training worker reads it as well.
        file: What it says.

    Raises:
        InputError: The device is not enrolled, and its owner does not let it answer without protection.
        StateError: What the device never forgets is damaged.
    """
    state = Path(file.state)
    enrolled = (state / "device.json").exists() or not file.unprotected
    keys = read_keys(state) if enrolled else None
    counter = Path(file.counter) if file.counter else None
    journal = FileJournal(state / "budget.jsonl", counter) if enrolled else MemoryJournal()
    conditions = Conditions(file.when, state, str(path))
    trainer = TrainingChild(
        command=(sys.executable, "-m", "covey_client.worker", str(path)),
        log=to_log,
        limits=file.limits,
        container=scopes.find(file.limits),
        strain=conditions.strain,
    )
    participant = Participant(
        trainer=trainer,
        log=to_log,
        seeds=SystemSeeds(),
        claims=FileClaims(state / "claims.json"),
        journal=journal,
        keys=keys,
        unprotected=file.unprotected,
        pad_seconds=file.pad_seconds,
        remember=partial(remember_policy, state),
    )
    return Agent(participant, conditions.hindrance, state / PAUSED)


def run(path: Path, stop: threading.Event) -> None:
    """Until `stop` is set.

    Raises:
        CoveyError: The device is not set up, or another agent runs with the same state.
    """
    file = read(path)
    state = Path(file.state)
    durable.make_folder(state, mode=0o700)
    busy = StateError(f"{state}: another agent runs with this state", hint="stop it first")
    with held(state, busy), ExitStack() as stack:
        agent = agent_of(path, file)
        attended = attending(file, agent, stack)

        def carried(asked: Delivery) -> Answer:
            """A question that the SuperNode brought: a run is on, and with it the session service."""
            attended.woken()
            return agent.answer(asked)

        socket = AgentSocket(
            Path(file.socket.path),
            allowed=uids(file.socket.users),
            per_minute=file.socket.per_minute,
            handle=answering(carried),
            log=to_log,
            mode=ANYBODY if file.socket.users else OWNER_ONLY,
        )
        stack.callback(socket.close)
        observed = Observed(agent, agent.hindrance, attended.state, time.time())
        owners = AgentSocket(
            Path(file.socket.owner),
            allowed=uids([]),
            per_minute=MOST_STATUS,
            handle=telling(observed),
            log=to_log,
            mode=OWNER_ONLY,
        )
        stack.callback(owners.close)
        to_log(f"listening on {file.socket.path}")
        others = (renewing(state, attended.renewed, stack), updating(path, file, stack))
        look_after(file, agent, stop, [each for each in others if each is not None])


@dataclass(frozen=True)
class Attended:
    """A session service, or none.

    Attributes:
        state: What to tell of it.
        renewed: Called when the device has another certificate.
        woken: Called when the service is likely to be there.
    """

    state: Callable[[], str] = str
    renewed: Callable[[], None] = lambda: None
    woken: Callable[[], None] = lambda: None


def attending(file: DeviceFile, agent: Agent, stack: ExitStack) -> Attended:
    """Open the stream to the session service, if there is one.

    Raises:
        InputError: The device has no certificate.
    """
    if not file.session.server:
        return Attended()
    from covey_client.session_client import (  # noqa: PLC0415 - gRPC's memory, only where it is used
        SessionClient,
        credentials,
    )

    state = Path(file.state)
    client = SessionClient(file.session.server, credentials(state), agent.answer, to_log)
    stack.callback(client.close)
    return Attended(client.state, lambda: client.show(credentials(state)), client.wake)


def renewing(state: Path, renewed: Callable[[], None], stack: ExitStack) -> Renewal | None:
    """Have newer admissions fetched; None for a device that was not admitted by one."""
    if not (state / ADMISSION).exists():
        return None
    renewal = Renewal(command(state), renewed)
    stack.callback(renewal.close)
    return renewal


def updating(path: Path, file: DeviceFile, stack: ExitStack) -> Updates | None:
    """Have releases installed; None for a device that has no source of them."""
    if not file.update.source:
        return None
    updates = Updates(update_command(path), file.update.every_seconds)
    stack.callback(updates.close)
    return updates


def look_after(
    file: DeviceFile, agent: Agent, stop: threading.Event, others: Sequence[Renewal | Updates] = ()
) -> None:
    """Tell systemd how it goes, and keep recordings within what their owner allows, until `stop` is set.

    Args:
        file: The configuration.
        agent: Whose state is told.
        stop: Ends it.
        others: Processes that are started now and then.
    """
    systemd, retained = Systemd(), -HOUR
    systemd.ready("waits")
    while not stop.wait(min(systemd.beat_seconds or LOOK_SECONDS, LOOK_SECONDS)):
        systemd.beat(time.monotonic())
        systemd.says("paused by its owner" if agent.paused() else agent.doing.what)
        for each in others:
            each.step()
        if time.monotonic() - retained >= HOUR:
            retained = time.monotonic()
            retain_recordings(file)
    systemd.stopping()


def retain_recordings(file: DeviceFile) -> None:
    """Remove the oldest recordings where the owner has set a bound; what goes wrong is told and no more."""
    table = file.data
    if not (table.keep_days or table.keep_mb):
        return
    try:
        for each in retain(Path(table.path), table.keep_days, table.keep_mb, time.time()):
            to_log(f"removed {each.recorded.path.name}: {each.why}")
    except (OSError, CoveyError) as error:
        to_log(f"recordings could not be removed: {error}")


def main() -> None:
    """Of the process."""
    stop = threading.Event()

    def ends(_: int, __: FrameType | None) -> None:
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, ends)
    try:
        run(Path(sys.argv[1]), stop)
    except CoveyError as error:
        to_log(str(error))
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
