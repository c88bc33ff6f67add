"""What an audit knows in the end, as frozen data: all that a report or a line of output is made of.

Nothing here is the operator's word alone unless its docstring says so. Figures that rest on it are marked by
the level, and by findings.
"""

from dataclasses import dataclass
from typing import Literal

from covey.ledger.entries import Members, Software
from covey.ledger.findings import Finding
from covey.plan import Plan, Unit
from covey.policy.terms import Policy

Outcome = Literal["opened", "aborted", "unfinished"]
Shown = Literal["verified", "missing", "broken", "not needed"]
"""Whether evidence shows who was in a sum; "not needed" for a sum that was not opened or had no masks."""

Level = Literal[0, 1, 2]
"""0: internal consistency only, under no policy that the reader trusts. 1: ε holds with the noise that the
plan's smallest sum guarantees. 2: evidence also shows who was in every sum that was opened."""


@dataclass(frozen=True)
class PolicyFacts:
    """A policy that an entry puts into force.

    Attributes:
        index: The entry.
        time: Unix seconds, by the writer's clock.
        run: The run that it came into force for.
        sha256: Of its text: what plans call it.
        policy: What it says.
        text: The TOML as signed.
        signers: Names of the reader's reviewers whose signatures hold; empty if none were given.
        trusted: Whether the reader's own reviewers signed it, or it is the reader's own policy.
    """

    index: int
    time: int
    run: str
    sha256: str
    policy: Policy
    text: str
    signers: tuple[str, ...]
    trusted: bool


@dataclass(frozen=True)
class RosterFacts:
    """A roster of devices that an entry brings in. Unless `verified`, all of it is the operator's word.

    Attributes:
        index: The entry.
        time: Unix seconds, by the writer's clock.
        fleet: The fleet's name.
        serial: Of the roster.
        sha256: Of it as signed.
        devices: How many are in it.
        gone: How many of the one before are left out; 0 for an enrol.
        expires: Its last second, unix time.
        simulation: Whether it says that the fleet is simulated.
        verified: Whether the roster is here and its signature holds.
    """

    index: int
    time: int
    fleet: str
    serial: int
    sha256: str
    devices: int
    gone: int
    expires: int
    simulation: bool
    verified: bool


@dataclass(frozen=True)
class SumFacts:
    """A private sum that was asked for. What it cost is from its plan alone.

    Attributes:
        index: Its reserve.
        plan: As sent to the devices.
        plan_sha256: What everything else names it by.
        reserved_at: Unix seconds, by the writer's clock.
        outcome: How it ended.
        end_index: The entry that says so; None for unfinished.
        ended_at: Unix seconds, by the writer's clock; None for unfinished.
        reason: Why it was given up; else empty.
        members: How many devices there were at each stage, as the settle says; None unless opened.
        evidence: Whether that is shown.
        d1: D1, the L1 sensitivity after rounding, integer units.
        d2: D2, the L2 sensitivity, likewise.
        rho: Of this sum without sampling, against the server, with the guaranteed noise; None without noise.
        xi: ξ likewise.
        multiplier: z: standard deviation of the guaranteed noise, in norms Δ; None without noise.
        policy: SHA-256 of the policy that it was held to; None if there was none.
    """

    index: int
    plan: Plan
    plan_sha256: str
    reserved_at: int
    outcome: Outcome
    end_index: int | None
    ended_at: int | None
    reason: str
    members: Members | None
    evidence: Shown
    d1: float
    d2: float
    rho: float | None
    xi: float | None
    multiplier: float | None
    policy: str | None


@dataclass(frozen=True)
class Point:
    """What had been spent after one sum, against the server.

    Attributes:
        index: Its reserve.
        run: Its run.
        round: Its round.
        kind: As a policy calls it: "train", "validate", …
        epsilon: ε of all sums of the unit up to and with this one.
    """

    index: int
    run: str
    round: int
    kind: str
    epsilon: float


@dataclass(frozen=True)
class Asked:
    """How often one kind of question was asked of every device, at most.

    Attributes:
        kind: As a policy calls it.
        sums: So many times, in the whole ledger.
        allowed: So many the newest policy allows; None without a policy that names the kind.
    """

    kind: str
    sums: int
    allowed: int | None


@dataclass(frozen=True)
class Costs:
    """What all sums of one unit of privacy have cost together.

    Attributes:
        unit: Whose contribution is hidden.
        delta: δ of all of them together.
        cap: ε that the newest policy allows, as it writes it; None without a policy for this unit.
        server: ε against the server and C_max devices, with the guaranteed noise; None if a sum had no noise.
        settled: The same, with the noise of the devices shown to have been in the sums; None likewise, or
            where the level is not 2.
        release: ε against those who see only releases, resting on the settles' counts; None if a sum had no
            noise.
        libraries: The server's ε by other libraries, by name.
        by_kind: The server's ε of each kind of sums as if there were no others.
        asked: How often each kind was asked.
        burn_down: ε after each sum, thinned where there are very many; the last one is `server`.
        rho: Of all sums without sampling, by the formula that gave `server`.
        xi: ξ likewise.
        order: The Rényi order that gave `server`.
        sampler_delta: What the tables of the noise add to δ, at most.
    """

    unit: Unit
    delta: float
    cap: str | None
    server: float | None
    settled: float | None
    release: float | None
    libraries: dict[str, float]
    by_kind: dict[str, float]
    asked: tuple[Asked, ...]
    burn_down: tuple[Point, ...]
    rho: float
    xi: float
    order: int
    sampler_delta: float


@dataclass(frozen=True)
class ReleaseFacts:
    """Something left the operator's hands.

    Attributes:
        index: The entry.
        time: Unix seconds, by the writer's clock.
        kind: A model, or figures.
        run: The run that paid for it.
        name: The file's name; for a model, empty.
        sha256: Of the file, or of the package's archive.
        model: Digest of the model's parameters; empty for figures.
        policy: The policy that it names; None for none.
        carried_by: The last reserve of the run whose plan carried this model; None if there is none.
    """

    index: int
    time: int
    kind: Literal["model", "metrics"]
    run: str
    name: str
    sha256: str
    model: str
    policy: str | None
    carried_by: int | None


@dataclass(frozen=True)
class TuningFacts:
    """Settings were chosen by looking at the same people's data; all of it is the operator's word.

    Attributes:
        index: The entry.
        run: The run that the settings are for.
        words: What was tried on what.
        epsilon: What that cost; None for not accounted.
        delta: At this δ; None likewise.
    """

    index: int
    run: str
    words: str
    epsilon: str | None
    delta: str | None


@dataclass(frozen=True)
class EarlierAudit:
    """An audit that is entered in the ledger; all of it is the operator's word.

    Attributes:
        index: The entry.
        size: Entries that it covered.
        findings: How many it had.
        report: SHA-256 of its report.
        words: What the auditor concluded.
    """

    index: int
    size: int
    findings: int
    report: str
    words: str


@dataclass(frozen=True)
class RunFacts:
    """A run, as far as the ledger shows it.

    Attributes:
        run: Its identifier.
        first: Its first reserve.
        last: Its last reserve.
        rounds: The largest round asked for.
        sums: Sums asked for.
        opened: Of these, opened.
        models: Names of the models asked about.
        policies: SHA-256 of the policies that its sums were held to, in order of first use.
        released: Whether a model or figures of it were released.
    """

    run: str
    first: int
    last: int
    rounds: int
    sums: int
    opened: int
    models: tuple[str, ...]
    policies: tuple[str, ...]
    released: bool


@dataclass(frozen=True)
class Audited:
    """An audit.

    Attributes:
        source: What was audited, as the reader named it.
        origin: The log's name; empty if no checkpoint could be read.
        size: Entries in the ledger.
        root: Root over them, computed.
        head_size: Entries that the checkpoint covers; None without a trusted one.
        head_time: When witnesses saw it; 0 if none were asked for.
        witnesses: Names of the witnesses whose cosignatures hold.
        entries: How many entries of each kind.
        first_time: Of the entries, unix seconds by the writer's clock; 0 for none.
        last_time: Likewise.
        policies: In order.
        rosters: In order.
        sums: In order of their reserves.
        costs: One for each unit of privacy that sums were asked for.
        releases: In order.
        tunings: In order.
        audits: In order.
        runs: In order of their first reserves.
        software: What settled sums, and how many each.
        findings: Critical ones first; then by entry.
        level: What the audit establishes.
        simulation: The fleet is simulated: no ε is certified.
        trusts: What the audit takes for granted, a sentence each.
        not_covered: What no part of it says anything about, a sentence each.
    """

    source: str
    origin: str
    size: int
    root: bytes
    head_size: int | None
    head_time: int
    witnesses: tuple[str, ...]
    entries: dict[str, int]
    first_time: int
    last_time: int
    policies: tuple[PolicyFacts, ...]
    rosters: tuple[RosterFacts, ...]
    sums: tuple[SumFacts, ...]
    costs: tuple[Costs, ...]
    releases: tuple[ReleaseFacts, ...]
    tunings: tuple[TuningFacts, ...]
    audits: tuple[EarlierAudit, ...]
    runs: tuple[RunFacts, ...]
    software: tuple[tuple[Software, int], ...]
    findings: tuple[Finding, ...]
    level: Level
    simulation: bool
    trusts: tuple[str, ...]
    not_covered: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing was found that asks for an answer; notes do not."""
        return all(each.severity == "note" for each in self.findings)

    @property
    def certified(self) -> bool:
        """Whether the ε against the server may be relied upon, given what is trusted.

        A finding that is waived counts here all the same: reviewers accept a fault, they do not undo it. Nor
        is a ledger relied upon whose end no witness vouches for: the dearest sums may have been cut off.
        """
        broken = any(each.severity == "critical" or each.waived for each in self.findings)
        return self.level > 0 and not self.simulation and not broken and self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether a witness's own checkpoint was compared: nothing was cut off at the end."""
        return all(each.code != "no-witness-asked" for each in self.findings)

    @property
    def is_all(self) -> bool:
        """Whether no device has counted more answers than were asked for here."""
        return all(each.code != "counter-gap" for each in self.findings)

    @property
    def exit_status(self) -> Literal[0, 1]:
        """0 clean, 1 findings."""
        return 0 if self.clean else 1
