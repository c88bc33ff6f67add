"""What a release says of its own making, beside what in-toto and SLSA have fields for.

The budget entry is the run's last `round.reserve`: from there on all of the run's sums are spent, it stands
in the ledger also when the sum was aborted, and it holds the whole plan as devices got it. The settle that
ended it, if one did, stands beside it. The entry that carried the released parameters ties the model to the
run.
"""

from typing import Annotated, Final, Literal

import msgspec

from covey.gate_report import GateReport
from covey.ledger.note import MAX_NOTE_BYTES
from covey.ledger.proof import Logged
from covey.package.manifest import Label, Sha256, ShortName, Version
from covey.package.provenance_sums import AskedSums
from covey.plan import Unit
from covey.policy.terms import Decimal, Name

FORMAT: Final = "covey-release/1"

Line = Annotated[str, msgspec.Meta(max_length=2000)]
Round = Annotated[int, msgspec.Meta(ge=0, le=999_999)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
Commit = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{40}([0-9a-f]{24})?\Z")]
Share = Annotated[str, msgspec.Meta(pattern=r"\A(0|1|[01]\.[0-9]{1,9})\Z")]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all parts: a field that is not described is refused."""


class Parent(_Strict, frozen=True, kw_only=True):
    """The release before.

    Attributes:
        name: Its package's name.
        version: Its version.
        sha256: Of its signed archive.
    """

    name: ShortName
    version: Version
    sha256: Sha256


class Code(_Strict, frozen=True, kw_only=True):
    """What made the release.

    Attributes:
        version: Covey's.
        commit: Of its source; None for an installed package, which knows none.
    """

    version: Version
    commit: Commit | None


class Claim(_Strict, frozen=True, kw_only=True):
    """What the run's own record says of its privacy; see `covey.claim.Privacy`.

    Attributes:
        unit: Whose contribution is hidden.
        delta: δ of the whole run.
        epsilon_server: ε against the server, rounded up; None without noise.
        epsilon_release: ε against who sees only releases, rounded up; None likewise.
        masks: Of all sums the worst.
        noise: Its law, or "none".
        simulated: Whether noise came from a seed.
        statement: The claim in words.
    """

    unit: Unit
    delta: Decimal
    epsilon_server: Decimal | None
    epsilon_release: Decimal | None
    masks: Literal["on", "elided", "none"]
    noise: Literal["skellam", "discrete-gaussian", "none"]
    simulated: bool
    statement: Line


class Layer(_Strict, frozen=True, kw_only=True):
    """How much one layer suffers from being quantised alone.

    Attributes:
        name: Of the layer.
        sensitivity: In what `Quantisation.measure` says; the larger the worse.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    sensitivity: Decimal


class Quantisation(_Strict, frozen=True, kw_only=True):
    """How the int8 variant came about.

    Attributes:
        method: "none" for a release in float32 alone.
        calibration: How activation ranges were found, and on whose data; empty without int8.
        measure: What a layer's sensitivity is; empty where it was not measured.
        layers: The layers, most sensitive first; empty where it was not measured.
        fp32_bytes: Size of the float32 file.
        int8_bytes: Size of the int8 file; None without one.
    """

    method: Literal["none", "static", "weights-only"]
    calibration: Line = ""
    measure: Line = ""
    layers: Annotated[tuple[Layer, ...], msgspec.Meta(max_length=512)] = ()
    fp32_bytes: Count
    int8_bytes: Count | None = None


class Missed(_Strict, frozen=True, kw_only=True):
    """A class, and how much of it was missed.

    Attributes:
        label: The class.
        share: Of its examples, a decimal; None where there were none.
    """

    label: Label
    share: Share | None


class Figures(_Strict, frozen=True, kw_only=True):
    """One variant, measured.

    Attributes:
        variant: Which.
        words: On what it was measured.
        accuracy: Share of right decisions, a decimal.
        examples: Of how many, about; None where the record has not kept that.
        missed: By class; empty where it was not measured.
        latency_us: Median of one decision in microseconds, on the machine that `words` names; None likewise.
    """

    variant: Literal["fp32", "int8"]
    words: Line
    accuracy: Share
    examples: Count | None = None
    missed: Annotated[tuple[Missed, ...], msgspec.Meta(max_length=4096)] = ()
    latency_us: Count | None = None


class Record(_Strict, frozen=True, kw_only=True):
    """A release's making.

    Attributes:
        name: The package's name.
        version: Its version.
        parent: The release before; None for the first.
        run: Whose sums it was made from.
        first_round: Of that run; 0 comes before training.
        last_round: The last one that is in it.
        model: `covey.arrays.digest` of the trained parameters.
        policy: SHA-256 of the policy that the run was under; None without one.
        code: What made it.
        participants: Devices in the largest sum of the run that was opened.
        claim: What it cost.
        sums: Every sum that the run asked for, as far as a cost depends on it.
        budget: The run's last reserve.
        settle: The settle of that reserve; None if it was not opened.
        carried: The last reserve whose plan carried the parameters.
        checkpoint: The signed note under which the entries are proved.
        quantisation: How int8 came about.
        gate: What the gate decided; None where none was asked.
        figures: What was measured, by variant.
        format: Of this format.
    """

    name: ShortName
    version: Version
    parent: Parent | None
    run: Name
    first_round: Round
    last_round: Round
    model: Sha256
    policy: Sha256 | None
    code: Code
    participants: Count
    claim: Claim
    sums: Annotated[tuple[AskedSums, ...], msgspec.Meta(min_length=1, max_length=4096)]
    budget: Logged
    settle: Logged | None
    carried: Logged
    checkpoint: Annotated[str, msgspec.Meta(max_length=MAX_NOTE_BYTES)]
    quantisation: Quantisation
    gate: GateReport | None = None
    figures: Annotated[tuple[Figures, ...], msgspec.Meta(max_length=2)] = ()
    format: Literal["covey-release/1"] = FORMAT
