"""A device's updater, from its configuration."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from covey.errors import InputError
from covey.ledger.note import read_vkey
from covey.policy.signed import Reviewers
from covey.rollout.plan import token
from covey.rollout.update_rules import Rules
from covey_client.configuration import DeviceFile
from covey_client.update_children import Processes
from covey_client.update_proof import check_proof
from covey_client.update_source import open_source
from covey_client.update_steps import Steps
from covey_client.update_store import read_state
from covey_client.update_table import UpdateTable
from covey_client.updater import Place
from covey_io.device_enrolment import own_admission

ROOT: Final = "root.json"
DEVICE: Final = "device"


def device_folder(file: DeviceFile) -> Path:
    """The device's folder, with the slots."""
    return Path(file.update.folder) if file.update.folder else Path(file.state) / DEVICE


def rules_of(file: DeviceFile) -> Rules:
    """What the machine goes by: who the device is, and whom it asks for approval.

    Raises:
        InputError: The device is not enrolled, or an approver's key is none.
    """
    admitted = own_admission(Path(file.state))
    if admitted is None:
        raise InputError(
            f"{file.state}: not enrolled", hint="covey device enrol, then updates can be followed"
        )
    said = admitted.admission
    return Rules(said.fleet, token(said.fleet, said.device), approvers(file.update), file.update.trial)


def approvers(table: UpdateTable) -> Reviewers | None:
    """Who must have signed the plans that this device follows; None if nobody must.

    Raises:
        InputError: A key is none, is given twice, or fewer than `approvals`.
    """
    if not table.approvers:
        return None
    return Reviewers(tuple(read_vkey(each) for each in table.approvers), table.approvals)


def believed_now(state: Path) -> Callable[[], float]:
    """The time that the device goes by: its clock's, never before a time that signed metadata has proved."""

    def now() -> float:
        return max(time.time(), float(read_state(state).clock))

    return now


def place_of(
    file: DeviceFile,
    *,
    source: str = "",
    watch: Callable[[int, int], None],
    log: Callable[[str], None],
) -> Place:
    """The device that a configuration describes.

    Args:
        file: The configuration.
        source: Where releases come from this once; empty for what the configuration says.
        watch: Told bytes there are, and bytes in all, while a release is fetched.
        log: Takes one line for the device's owner.

    Raises:
        InputError: Not enrolled, no source, or no root metadata.
    """
    state, table, folder = Path(file.state), file.update, device_folder(file)
    address = source or table.source
    if not address:
        raise InputError("no source of updates", hint='[update] source = "https://…" in device.toml')
    root = Path(table.root) if table.root else state / ROOT
    steps = Steps(
        folder=folder,
        source=open_source(address, root, state, believed_now(state)),
        bench=Processes(folder, table),
        hang_ms=int(table.hang_seconds * 1000),
        now=time.time,
        watch=watch,
        log=log,
        proof=partial(check_proof, state) if table.provenance == "demanded" else None,
    )
    return Place(state, folder, rules_of(file), steps, time.time)
