"""What a device has promised never to do twice, kept where a power cut cannot undo it.

A device answers one plan of a sum, and at each stage of it one request. The secrets of a session live in
memory only; a claim is all that outlives a restart, and makes the restarted device a drop-out instead of one
that answers again. Each message may come to a process of its own: what another one claimed counts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from covey.errors import PlanRefused, StateError
from covey.secagg.states import Claim
from covey_io import durable
from covey_io.lock import held


class Claims(Protocol):
    """Where claims are kept."""

    def claim(self, claim: Claim) -> None:
        """Keep a claim.

        Raises:
            PlanRefused: It is for an older sum of its run, or for other bytes than one made before, or opens
                a plan again.
        """

    def check(self, claim: Claim) -> None:
        """Refuse what `claim` would refuse, and keep nothing.

        Raises:
            PlanRefused: See `claim`.
        """

    @property
    def least_serial(self) -> int:
        """Of the newest roster seen."""

    def saw_roster(self, serial: int) -> None:
        """Keep a roster's serial, if it is the newest."""


class Run(msgspec.Struct, forbid_unknown_fields=True):
    """The newest sum of one run, and what was claimed in it: request digests by stage, hexadecimal."""

    sum: int = 0
    stages: dict[str, str] = {}


class Kept(msgspec.Struct, forbid_unknown_fields=True):
    """Everything a device keeps."""

    roster: int = 0
    runs: dict[str, Run] = {}


class MemoryClaims:
    """Claims of a simulated device: they last as long as its process."""

    def __init__(self) -> None:
        self._kept = Kept()

    @property
    def least_serial(self) -> int:
        """Of the newest roster seen."""
        return self._kept.roster

    def saw_roster(self, serial: int) -> None:
        """Keep a roster's serial, if it is the newest."""
        if serial > self._kept.roster:
            self._keep(msgspec.structs.replace(self._kept, roster=serial))

    def claim(self, claim: Claim) -> None:
        """See `Claims`."""
        stages = self._stages(claim)
        if claim.stage not in stages:
            run = Run(claim.sum, stages | {claim.stage: claim.digest.hex()})
            self._keep(msgspec.structs.replace(self._kept, runs=self._kept.runs | {claim.run: run}))

    def check(self, claim: Claim) -> None:
        """See `Claims`."""
        self._stages(claim)

    def _stages(self, claim: Claim) -> dict[str, str]:
        """What was claimed of its sum, if it does not contradict that."""
        run = self._kept.runs.get(claim.run, Run())
        if claim.sum < run.sum:
            raise PlanRefused(f"sum {claim.sum} after sum {run.sum} of one run")
        stages = run.stages if claim.sum == run.sum else {}
        made = stages.get(claim.stage)
        if made is not None and (made != claim.digest.hex() or claim.stage == "advertise"):
            raise PlanRefused(f"sum {claim.sum} was answered before at stage {claim.stage}")
        return stages

    def _keep(self, kept: Kept) -> None:
        self._kept = kept


class FileClaims(MemoryClaims):
    """Claims in one file, replaced durably before the device goes on.

    Args:
        path: The file; made with the first claim.

    Raises:
        StateError: It is damaged. A device whose memory cannot be trusted answers nothing.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._load()

    def saw_roster(self, serial: int) -> None:
        """Keep a roster's serial, if it is the newest."""
        with self._held():
            super().saw_roster(serial)

    def claim(self, claim: Claim) -> None:
        """See `Claims`."""
        with self._held():
            before = self._kept
            super().claim(claim)
            if self._kept is before:  # by a process, perhaps, that was killed before it was on the disk
                durable.sync(self._path)

    def check(self, claim: Claim) -> None:
        """See `Claims`."""
        self._load()
        super().check(claim)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Keep every other process from it; what one wrote meanwhile is read."""
        durable.make_folder(self._path.parent)
        with held(self._path.with_name(f".{self._path.name}.lock"), None):
            self._load()
            yield

    def _load(self) -> None:
        if not self._path.exists():
            return
        try:
            self._kept = msgspec.json.decode(self._path.read_bytes(), type=Kept)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(f"{self._path} is damaged: {error}", hint="enrol the device anew") from error

    def _keep(self, kept: Kept) -> None:
        durable.replace(self._path, msgspec.json.encode(kept))
        super()._keep(kept)
