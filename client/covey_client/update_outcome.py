"""How the rollout goes on this device, where the agent's other processes can read it.

The updater writes it after every change; whoever answers a question on a rollout's health reads it. It leaves
the device only as a share of a private sum.
"""

from pathlib import Path
from typing import Final

import msgspec
import rfc8785

from covey.errors import StateError
from covey.rollout.outcome import Outcome
from covey_io import durable

OUTCOME: Final = "update-outcome.json"
MOST_BYTES: Final = 4096


def read_outcome(state: Path) -> Outcome | None:
    """How the rollout goes on this device; None if it was never told of one.

    Args:
        state: The agent's state folder.

    Raises:
        StateError: The file is damaged.
        OSError: It cannot be read.
    """
    path = state / OUTCOME
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(data, type=Outcome)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(
            f"{path} is damaged: {error}", hint="remove it; the updater writes it anew"
        ) from error


def write_outcome(state: Path, outcome: Outcome) -> None:
    """Put it where `read_outcome` finds it, if it has changed.

    Raises:
        OSError: The disk does not take it.
    """
    data, path = rfc8785.dumps(msgspec.to_builtins(outcome)), state / OUTCOME
    if not path.is_file() or path.read_bytes() != data:
        durable.replace(path, data)
