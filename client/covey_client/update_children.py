"""Trying a new model in a process of its own, within limits: what it does there takes nothing else down."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from covey.package.contents import Variant
from covey.rollout.update_state import Slot
from covey_client.limits import Ended, Limits, Outcome, start
from covey_client.self_test_verdict import Verdict
from covey_client.update_table import UpdateTable

NOBODY: Final = "-"
NOT_STARTED: Final = "status 127"
_SAID_BY_LIMITS: Final = {
    Outcome.OUT_OF_MEMORY: "it used more than {memory} MB",
    Outcome.OUT_OF_TIME: "it did not end within {seconds:g} s",
}


class Bench(Protocol):
    """Where a staged package is tried."""

    def self_test(self, slot: Slot, baseline: Slot | None) -> Verdict:
        """Golden inputs, latency, memory; see `covey_client.self_testing`."""

    def shadow(self, slot: Slot, variant: Variant, baseline: Slot) -> Verdict:
        """Beside what serves; see `covey_client.shadow_testing`."""


class Processes:
    """The real one.

    Args:
        device_folder: The device's folder.
        table: `[update]`.
    """

    def __init__(self, device_folder: Path, table: UpdateTable) -> None:
        self._folder = device_folder
        self._table = table

    def self_test(self, slot: Slot, baseline: Slot | None) -> Verdict:
        """See `Bench`."""
        limits = msgspec.json.encode(self._table.test).decode()
        arguments = ("covey_client.self_testing", str(self._folder), slot, baseline or NOBODY, limits)
        return tried(arguments, self._table.test.memory_mb, self._table.test.seconds)

    def shadow(self, slot: Slot, variant: Variant, baseline: Slot) -> Verdict:
        """See `Bench`."""
        test, shadow = self._table.test, self._table.shadow
        limits = msgspec.json.encode(shadow).decode()
        slower = (str(test.slower), str(test.slower_ms))
        arguments = (
            "covey_client.shadow_testing",
            str(self._folder),
            slot,
            variant,
            baseline,
            limits,
            *slower,
        )
        return tried(arguments, test.memory_mb, test.seconds + shadow.seconds)


def tried(arguments: Sequence[str], memory_mb: int, seconds: float) -> Verdict:
    """What a module says of a model, or what its end says.

    Args:
        arguments: The module, and what it is given.
        memory_mb: Resident, of the process.
        seconds: From its start to its end.
    """
    limits = Limits(memory_mb=memory_mb, wall_seconds=seconds, idle_io=False)
    try:
        with start((sys.executable, "-m", *arguments), limits) as child:
            said, ended = child.communicate()
    except OSError as error:
        return Verdict(kind="trouble", why=f"it cannot be tried: {error}")
    if ended.outcome is not Outcome.FINISHED:
        return _of_end(ended, memory_mb, seconds)
    try:
        verdict = msgspec.json.decode(said, type=Verdict)
    except msgspec.DecodeError as error:
        return Verdict(
            kind="rejected", why=f"the process that tried it said nothing that can be read: {error}"
        )
    return msgspec.structs.replace(
        verdict, figures={**verdict.figures, "peak_mb": ended.peak_bytes / (1 << 20)}
    )


def _of_end(ended: Ended, memory_mb: int, seconds: float) -> Verdict:
    if ended.outcome in _SAID_BY_LIMITS:
        why = _SAID_BY_LIMITS[ended.outcome].format(memory=memory_mb, seconds=seconds)
        return Verdict(kind="rejected", why=f"{why} when it was tried")
    # killed from outside, or never started: somebody's doing, not the model's
    blameless = ended.outcome is Outcome.KILLED or any(
        each in ended.reason for each in ("SIGKILL", "SIGTERM", "warden", NOT_STARTED)
    )
    return Verdict(
        kind="trouble" if blameless else "rejected", why=f"the process that tried it: {ended.reason}"
    )
