"""What an entry of a ledger says, in one line. Nothing is checked here: `covey audit` does that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from msgspec import UNSET

from covey import plan as plans
from covey.errors import ConfigError, ProtocolError
from covey.ledger import entries as ledger
from covey.ledger import note
from covey.ledger.entries import (
    Abort,
    AnyEntry,
    AuditResult,
    Enrol,
    MetricsRelease,
    ModelRelease,
    Reserve,
    Revoke,
    RolloutDecision,
    RunPolicy,
    Settle,
    TuningRun,
    Waiver,
)
from covey.plan import Plan
from covey.policy import reading
from covey.policy.checking import kind_of
from covey_audit.report import words

SHOWN = 12
"""Digits of a digest in a line."""


@dataclass(frozen=True)
class Line:
    """One line of a ledger.

    Attributes:
        index: Its place.
        data: As it stands there.
        entry: What it says; None if it is no entry.
        fault: Why it is none; else empty.
        plan: Of a reserve; None for others, and if it cannot be read.
        digest: Of the plan that a reserve holds, or that an end names; else empty.
    """

    index: int
    data: bytes
    entry: AnyEntry | None
    fault: str
    plan: Plan | None
    digest: str

    @property
    def kind(self) -> str:
        """Of the entry."""
        return "(no entry)" if self.entry is None else ledger.kind_of(self.entry)

    @property
    def time(self) -> int:
        """Of the entry, unix seconds; 0 for none."""
        return 0 if self.entry is None else self.entry.time


class Reader:
    """Reads lines in order, and remembers which sum a plan's digest stands for."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}

    def read(self, lines: Sequence[bytes], first: int = 0) -> Iterator[Line]:
        """Lines as what they say.

        Args:
            lines: As they stand in the log.
            first: The place of the first of them.
        """
        for index, data in enumerate(lines, start=first):
            yield self._line(index, data)

    def words(self, line: Line) -> str:
        """A line's meaning, in one line of text."""
        if line.entry is None:
            return f"NOT AN ENTRY: {words.one_line(line.fault, 200)}"
        return words.one_line(self._said(line.entry, line), 400)

    def plan_of(self, digest: str) -> Plan | None:
        """The plan that a digest names, if its reserve was read."""
        return self._plans.get(digest)

    def _line(self, index: int, data: bytes) -> Line:
        try:
            entry = ledger.decode(data)
        except ProtocolError as error:
            return Line(index, data, None, error.message, None, "")
        plan, digest = None, ""
        if isinstance(entry, Reserve):
            plan, digest = _plan(entry.plan), plans.digest(entry.plan)
            if plan is not None:
                self._plans.setdefault(digest, plan)
        elif isinstance(entry, Settle | Abort):
            digest = entry.plan
        return Line(index, data, entry, "", plan, digest)

    def _said(self, entry: AnyEntry, line: Line) -> str:  # noqa: C901, PLR0911, PLR0912 - a case for each kind
        match entry:
            case RunPolicy():
                return f"for run {entry.run}: policy {_policy(entry.policy)}"
            case Revoke():
                return f"{_roster(entry)}; {words.count(entry.gone, 'device')} left out"
            case Enrol():
                return _roster(entry)
            case Reserve():
                return _asked(line)
            case Settle():
                return f"{self._sum(entry.plan)}: opened with {_members(entry)}"
            case Abort():
                return f"{self._sum(entry.plan)}: given up, and spent: {entry.reason}"
            case MetricsRelease():
                return f"{entry.name} of run {entry.run}, SHA-256 {entry.sha256[:SHOWN]}…"
            case ModelRelease():
                package, model = entry.package[:SHOWN], entry.model[:SHOWN]
                return f"a model of run {entry.run}: package {package}…, parameters {model}…"
            case TuningRun():
                return f"settings of run {entry.run}: {entry.words} ({_cost(entry)})"
            case AuditResult():
                found = words.count(entry.findings, "finding")
                return f"over {words.count(entry.size, 'entry')}: {found}; {entry.words}"
            case Waiver():
                return f"accepted by reviewers: {_waived(entry.note)}"
            case RolloutDecision():
                return _decided(entry)
            case _ as never:
                assert_never(never)

    def _sum(self, digest: str) -> str:
        plan = self._plans.get(digest)
        return f"a sum that no entry above reserves ({digest[:SHOWN]}…)" if plan is None else _name(plan)


def _plan(data: bytes) -> Plan | None:
    try:
        return plans.from_bytes(data)
    except ProtocolError:
        return None


def _name(plan: Plan) -> str:
    cohort = f", cohort {plan.cohort_number}" if plan.cohorts > 1 else ""
    return f"sum {plan.sum}{cohort} of run {plan.run}"


def _asked(line: Line) -> str:
    plan = line.plan
    if plan is None:
        return f"A PLAN THAT NO DEVICE WOULD READ ({line.digest[:SHOWN]}…)"
    none = "NO NOISE" if plan.central is UNSET else "NO NOISE OF THE DEVICES, THE SERVER ADDS IT"
    noise = f"noise {plan.noise.mechanism}" if plan.noise else none
    masks = "" if plan.masks == "on" else f", MASKS {plan.masks.upper()}"
    seeded = ", from a seed" if plan.noise and plan.noise.seeded else ""
    return (
        f"{_name(plan)}: {kind_of(plan)} of {plan.model} in round {plan.round}, {plan.cohort:,} devices "
        f"asked, at least {plan.minimum:,}, {noise}{seeded}{masks}"
    )


def _members(entry: Settle) -> str:
    members = entry.members
    return f"{members.survivors:,} of {members.advertised:,} devices"


def _roster(entry: Enrol) -> str:
    simulated = ", SIMULATED" if entry.simulation else ""
    devices, until = words.count(entry.devices, "device"), words.day(entry.expires)
    return f"roster {entry.serial} of fleet {entry.fleet}{simulated}: {devices}, until {until}"


def _decided(entry: RolloutDecision) -> str:
    """Who decided it can be seen from the action."""
    rings, by = words.count(entry.opened, "ring"), words.count(entry.approvals, "approver")
    return (
        f"rollout {entry.rollout} of fleet {entry.fleet}: {entry.action}; {rings} open, instruction "
        f"{entry.serial} ({entry.instruction[:SHOWN]}…), plan approved by {by}: {entry.reason}"
    )


def _cost(entry: TuningRun) -> str:
    return "not accounted" if entry.epsilon is None else f"epsilon {entry.epsilon} at delta {entry.delta}"


def _policy(signed: str) -> str:
    """A policy's name and budget, unverified."""
    try:
        policy = reading.parse(note.parse(signed.encode(), blame="operator").text, "the policy")
    except (ProtocolError, ConfigError):
        return "that cannot be read"
    budget = policy.budget
    simulated = ", for a SIMULATION" if policy.simulation else ""
    return (
        f"{policy.name}, serial {policy.serial}{simulated}: epsilon {budget.epsilon} at delta {budget.delta} "
        f"for one {budget.unit}"
    )


def _waived(signed: str) -> str:
    try:
        return note.parse(signed.encode(), blame="operator").text
    except ProtocolError:
        return "a waiver that cannot be read"
