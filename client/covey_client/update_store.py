"""The updater's memory on disk: `update-state.json` in the agent's state folder, and its owner's hold."""

from pathlib import Path
from typing import Final

from covey.rollout import update_state
from covey.rollout.update_state import MAX_STATE_BYTES, State
from covey_io import durable

STATE: Final = "update-state.json"
HOLD: Final = "update-hold"
LOCK: Final = "update.lock"


def read_state(folder: Path) -> State:
    """What holds; a fresh one on a device that has never updated.

    Raises:
        StateError: The file is damaged: nothing is updated, and what is installed goes on serving.
        OSError: It cannot be read.
    """
    path = folder / STATE
    try:
        with path.open("rb") as file:
            data = file.read(MAX_STATE_BYTES + 1)
    except FileNotFoundError:
        return State()
    return update_state.from_bytes(data, where=str(path))


def write_state(folder: Path, state: State) -> None:
    """Make it durable.

    Raises:
        OSError: The disk does not take it.
    """
    durable.replace(folder / STATE, update_state.to_bytes(state))


def is_held(folder: Path) -> bool:
    """Whether the device's owner keeps it as it is."""
    return (folder / HOLD).exists()


def hold(folder: Path) -> None:
    """Begin no update until `resume`; a trial that has begun goes on to its end."""
    durable.replace(folder / HOLD, b"held by its owner\n")


def resume(folder: Path) -> None:
    """End a hold."""
    (folder / HOLD).unlink(missing_ok=True)
    durable.sync_folder(folder)
