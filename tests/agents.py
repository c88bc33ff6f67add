"""A device of a fleet as an agent, its data in this process or its training in a child."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from covey import plan as plans
from covey.delivery import CATEGORIES, Asked, Delivery, to_arrays
from covey.identity import public_of
from covey.secagg.states import Me
from covey_client.agent import Agent
from covey_client.agent_socket import AgentSocket, answering
from covey_client.participant import Participant
from covey_io.device_keys import Keys, write_keys
from covey_strategies.asking import Question
from digits_fleet import ENROLMENT, OPERATOR, key, named
from memory_ledger import REVIEWERS


def agent(participant: Participant, folder: Path, hindrance: str = "") -> Agent:
    """An agent around a participant; a pause is a file in `folder`."""
    return Agent(participant, lambda: hindrance, folder / "paused")


def first_delivery(to: Question) -> Delivery:
    """What every device of its one cohort is sent first."""
    (exchange,) = to.exchanges
    category = CATEGORIES[plans.kind(exchange.plan)]
    envelope = exchange.sealed.envelope(0) if exchange.sealed else None
    sent = None if envelope else exchange.sent
    return Asked(category, sent, envelope, to_arrays(exchange.parameters))


def enrolled(folder: Path, node: int = 2) -> Path:
    """The keys of a node's device, on its disk."""
    me = Me(named(node), key("identity", node), public_of(ENROLMENT))
    write_keys(folder, Keys(me, public_of(OPERATOR), key("salt", node), REVIEWERS))
    return folder


def device_toml(folder: Path, data: Path, more: str = "", socket: str = "") -> Path:
    """An agent's configuration; its state is `folder`/state."""
    path = folder / "device.toml"
    top = f'state = "{folder}/state"\npad_seconds = 0.0\n{more}\n[data]\npath = "{data}"\n'
    path.write_text(f'{top}[model]\nname = "digits"\n{socket}')
    return path


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path fits a socket's address (108 bytes, unix(7))."""
    folder = Path(tempfile.mkdtemp(prefix="cv"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def listening(
    path: Path, answers: Agent, *, per_minute: int = 1000, uids: frozenset[int] | None = None
) -> Iterator[list[str]]:
    """An agent's socket; gives what is told to its owner."""
    told: list[str] = []
    opened = AgentSocket(
        path,
        allowed=frozenset({0}) if uids is None else uids,
        per_minute=per_minute,
        handle=answering(answers.answer),
        log=told.append,
        mode=0o600,
    )
    try:
        yield told
    finally:
        opened.close()
