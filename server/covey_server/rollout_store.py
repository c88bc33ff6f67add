"""The fleet's rollouts on disk: how the last one stands, and what is still to be done about it.

rollouts/state.json        the rollout as it stands; see `covey.rollout.rolling_state`
rollouts/past/NAME.json    those before it, as they ended

What was decided is written here first, with `pending`, and then done: entered in the ledger, announced,
published. Whatever stops in between is done by whoever comes next, with the same bytes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from covey.errors import InputError, StateError
from covey.ledger.entries import RolloutDecision
from covey.rollout.rolling_state import Rollout
from covey_io import durable
from covey_io.lock import held

FORMAT: Final = "covey-rollout-state/1"


class Pending(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was decided, and may not have been done.

    Attributes:
        entry: For the ledger.
        instruction: For devices, as published.
    """

    entry: RolloutDecision
    instruction: bytes


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`state.json`.

    Attributes:
        rollout: As it stands; None before the first.
        pending: What is still to be done about it; None for nothing.
        format: Of this format.
    """

    rollout: Rollout | None = None
    pending: Pending | None = None
    format: Literal["covey-rollout-state/1"] = FORMAT


class RolloutFolder:
    """The folder.

    Args:
        path: Where; made when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state = path / "state.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """For one process at a time.

        Raises:
            InputError: Another one is at it.
        """
        durable.make_folder(self.path)
        refusal = InputError(f"{self.path} is in use by another process", hint="wait for it, and try again")
        with held(self.path / ".lock", refusal):
            yield

    def read(self) -> Kept:
        """How it stands.

        Raises:
            StateError: It is damaged.
            InputError: It cannot be read.
        """
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=Kept)
        except FileNotFoundError:
            return Kept()
        except OSError as error:
            raise InputError(
                f"{self._state}: {(error.strerror or str(error)).lower()}",
                hint="run this as the server's user",
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(
                f"{self._state} is damaged: {error}", hint="put it back as it was; nothing was overwritten"
            ) from error

    def write(self, kept: Kept) -> None:
        """Write down how it stands."""
        durable.replace(self._state, msgspec.json.encode(kept) + b"\n", mode=0o640)

    def keep_past(self, rollout: Rollout) -> None:
        """Keep a rollout that another one follows."""
        path = self._past(rollout.planned.rollout)
        durable.make_folder(path.parent)
        durable.replace(path, msgspec.json.encode(rollout) + b"\n", mode=0o640)

    def has_past(self, name: str) -> bool:
        """Whether a rollout of this name was kept."""
        return self._past(name).exists()

    def _past(self, name: str) -> Path:
        return self.path / "past" / f"{name}.json"
