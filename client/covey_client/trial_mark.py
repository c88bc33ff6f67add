"""What is on trial, said to whoever serves: `DEVICE/trial.json`, there from before the switch to the end.

While it is there, a process that serves keeps what ran before in its memory as well, and answers with it
whatever the new model fails at.
"""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import msgspec
import rfc8785

from covey.package.manifest import Sha256
from covey.rollout.update_state import Slot
from covey_io import durable

MARK: Final = "trial.json"
MOST_BYTES: Final = 1024


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A trial.

    Attributes:
        image: SHA-256 of the archive on trial.
        slot: Where it is.
        hang_ms: A request that lasts longer is given up, and answered by what ran before.
    """

    image: Sha256
    slot: Slot
    hang_ms: Annotated[int, msgspec.Meta(ge=1, le=3_600_000)]


def read_mark(device_folder: Path) -> Mark | None:
    """What is on trial; None if nothing is, or it cannot be read."""
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        with (device_folder / MARK).open("rb") as file:
            data = file.read(MOST_BYTES)
        return msgspec.json.decode(data, type=Mark)
    return None


def write_mark(device_folder: Path, mark: Mark) -> None:
    """Begin a trial, durably.

    Raises:
        OSError: The disk does not take it.
    """
    durable.replace(device_folder / MARK, rfc8785.dumps(msgspec.to_builtins(mark)))


def remove_mark(device_folder: Path) -> None:
    """End it, durably.

    Raises:
        OSError: The disk does not take it.
    """
    path = device_folder / MARK
    if path.exists():
        path.unlink()
        durable.sync_folder(device_folder)
