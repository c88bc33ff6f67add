"""What a device's own folder says of a ledger: in which sums it was, and what it has spent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from covey import budget as budgets
from covey import plan as plans
from covey.budget import Budget, Row
from covey.errors import InputError, ProtocolError
from covey.ledger import entries, participation
from covey.ledger.checkpoint import claimed
from covey.ledger.entries import Reserve, RunPolicy, Settle
from covey.ledger.history import History
from covey.ledger.proof import Logged, Proof
from covey.plan import Plan
from covey.policy.terms import exact
from covey_audit.auditing.budget import USUAL_DELTA
from covey_audit.auditing.members import commits, leaves_of
from covey_audit.auditing.policies import unverified
from covey_io.device_keys import Name
from covey_io.ledger_files import LedgerFiles

MOST_NAMED: Final = 6
"""Plans or entries that a sentence names."""


@dataclass(frozen=True)
class Own:
    """A device's folder, as far as its owner proves with it.

    Attributes:
        device: Its name.
        salt: Its own secret. Not shown when printed.
        budget: What its journal comes to.
    """

    device: str
    salt: bytes = field(repr=False)
    budget: Budget


@dataclass(frozen=True)
class Part:
    """A sum that the device was in.

    Attributes:
        plan: What was asked.
        digest: Of the plan.
        reserve: The entry that asked.
        settle: The entry that opened it.
        leaves: Of all who were in it.
        own: The device's.
    """

    plan: Plan
    digest: str
    reserve: int
    settle: int
    leaves: tuple[bytes, ...] = field(repr=False)
    own: bytes = field(repr=False)


@dataclass(frozen=True)
class Unknown:
    """An opened sum of which nothing here says whether the device was in it.

    Attributes:
        plan: What was asked.
        digest: Of the plan.
        settle: The entry that opened it.
        leaves: Whether the participation leaves are not here, or are others than the entry commits to.
    """

    plan: Plan
    digest: str
    settle: int
    leaves: Literal["missing", "changed"]


def read_own(folder: Path) -> Own:
    """A device's name, salt and journal.

    Raises:
        InputError: Something of it cannot be read; its content is not shown.
    """
    hint = "name the device's own folder, with device.json, salt and budget.jsonl"
    try:
        device = msgspec.json.decode((folder / "device.json").read_bytes(), type=Name).device
        salt = bytes.fromhex((folder / "salt").read_text("ascii").strip())
        participation.opening(salt, "", 0)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise InputError(f"{folder} is no device's folder: {type(error).__name__}", hint=hint) from error
    return Own(device, salt, _budget(folder / "budget.jsonl"))


def _budget(path: Path) -> Budget:
    if not path.is_file():
        return Budget()
    try:
        rows = [msgspec.json.decode(line, type=Row) for line in path.read_bytes().split(b"\n")[:-1]]
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is damaged: {error}", hint="what the device has spent cannot be known"
        ) from error
    return budgets.read(rows)


def parts(lines: Sequence[bytes], files: LedgerFiles, own: Own) -> Iterator[Part | Unknown]:
    """The sums that a device was in, or may have been, in the order in which they were opened.

    Args:
        lines: The ledger's entries.
        files: Where participation leaves are.
        own: The device.

    Raises:
        InputError: An entry cannot be read.
    """
    asked: dict[str, tuple[int, Plan]] = {}
    for index, line in enumerate(lines):
        entry = _entry(index, line)
        if isinstance(entry, Reserve):
            asked[plans.digest(entry.plan)] = index, plans.from_bytes(entry.plan)
        elif isinstance(entry, Settle) and entry.plan in asked and entry.sets is not None:
            reserve, plan = asked[entry.plan]
            data = files.participants(entry.plan)
            if data is None or not commits(entry, data):
                fault: Literal["missing", "changed"] = "missing" if data is None else "changed"
                yield Unknown(plan, entry.plan, index, fault)
                continue
            leaves = leaves_of(data) or []
            opened = participation.opening(own.salt, plan.run, plan.sum)
            leaf = participation.leaf(opened, own.device)
            if leaf in leaves:
                yield Part(plan, entry.plan, reserve, index, tuple(leaves), leaf)


def _entry(index: int, line: bytes) -> entries.AnyEntry:
    try:
        entry = entries.decode(line)
        if isinstance(entry, Reserve):
            plans.from_bytes(entry.plan)
    except ProtocolError as error:
        raise InputError(
            f"entry {index} is {error.message}", hint="covey audit says what else is wrong"
        ) from error
    return entry


def proof_of(part: Part, own: Own, lines: Sequence[bytes], head: bytes) -> Proof:
    """A proof that the device was in a sum.

    Args:
        part: The sum.
        own: The device.
        lines: The ledger's entries.
        head: The ledger's checkpoint.

    Raises:
        InputError: The checkpoint does not cover the sum yet, or cannot be read.
    """
    try:
        size = claimed(head, blame="operator").size
    except ProtocolError as error:
        raise InputError(
            f"the ledger's checkpoint cannot be read: {error.message}", hint="audit it"
        ) from error
    if not part.settle < size <= len(lines):
        raise InputError(
            f"the checkpoint over {size} entries does not cover entry {part.settle}", hint="audit it"
        )
    history = History.of(lines[:size])
    place, path = participation.prove(part.leaves, part.own)
    reserve, settle = (
        Logged(index=index, line=lines[index].decode(), path=history.inclusion(index, size))
        for index in (part.reserve, part.settle)
    )
    return Proof(
        device=own.device,
        opening=participation.opening(own.salt, part.plan.run, part.plan.sum),
        place=place,
        leaves=len(part.leaves),
        path=path,
        reserve=reserve,
        settle=settle,
        checkpoint=head.decode(),
    )


def disagreements(own: Own, found: Sequence[Part], lines: Sequence[bytes]) -> list[str]:
    """Where a device's journal and a ledger do not agree, in words.

    Args:
        own: The device.
        found: The sums that it was in, all of them.
        lines: The ledger's entries, all of them readable.
    """
    read = map(entries.decode, lines)
    known = {plans.digest(entry.plan) for entry in read if isinstance(entry, Reserve)}
    faults = []
    if own.budget.locked:
        faults.append(f"the device answers nothing any more: {own.budget.locked}")
    if elsewhere := [each for each in own.budget.reserved if each not in known]:
        named = ", ".join(f"{each[:16]}…" for each in elsewhere[:MOST_NAMED])
        faults.append(f"the journal has {_count(elsewhere, 'plan')} that the ledger has not: {named}")
    if forgotten := [each for each in found if each.digest not in own.budget.reserved]:
        where = f"{_count(forgotten, 'answer')} of the device that the journal has not"
        faults.append(f"the ledger has {where} ({entries_of(forgotten)}): was the journal put back?")
    return faults


def not_known(own: Own, unknown: Sequence[Unknown]) -> Iterator[str]:
    """What cannot be told of sums without their leaves, in words; nothing if there are none.

    Args:
        own: The device.
        unknown: The sums.
    """
    if not unknown:
        return
    reserved = sum(each.digest in own.budget.reserved for each in unknown)
    yield (
        f"the leaves of {_count(unknown, 'sum')} are missing or changed ({entries_of(unknown)}); the journal"
        f" has reserves for {reserved} of {len(unknown)}"
    )


def entries_of(sums: Sequence[Part | Unknown]) -> str:
    """As in "entry 4" and "entries 4, 6 and 3 more"."""
    shown = ", ".join(f"{each.settle}" for each in sums[:MOST_NAMED])
    more = f" and {len(sums) - MOST_NAMED} more" if len(sums) > MOST_NAMED else ""
    return f"{'entry' if len(sums) == 1 else 'entries'} {shown}{more}"


def _count(found: Sequence[object], noun: str) -> str:
    return f"{len(found)} {noun}{'' if len(found) == 1 else 's'}"


def delta_of(lines: Sequence[bytes]) -> float:
    """Of the last policy that can be read; the usual one if there is none."""
    for line in reversed(lines):
        entry = entries.decode(line)
        if isinstance(entry, RunPolicy):
            try:
                return float(exact(unverified(entry.policy.encode()).policy.budget.delta))
            except ProtocolError:
                continue
    return USUAL_DELTA
