"""How sums ended: each at most once, and none that was not reserved."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from covey.ledger.entries import Abort, EndOfSum, Members, Settle
from covey.ledger.findings import Finding, finding
from covey.spending import Ended
from covey_audit.audited import Outcome
from covey_audit.auditing.policies import SHOWN
from covey_audit.auditing.reserves import Reserved
from covey_audit.auditing.structure import Log


@dataclass(frozen=True)
class End:
    """What an entry says of a sum's end.

    Attributes:
        index: The entry.
        entry: What it says.
        possible: Whether a sum can have ended so.
    """

    index: int
    entry: EndOfSum
    possible: bool = True

    @property
    def outcome(self) -> Outcome:
        """How."""
        return "opened" if isinstance(self.entry, Settle) else "aborted"

    @property
    def settle(self) -> Settle | None:
        """If it was opened."""
        return self.entry if isinstance(self.entry, Settle) else None

    @property
    def reason(self) -> str:
        """Why it was given up; empty if it was not."""
        return self.entry.reason if isinstance(self.entry, Abort) else ""

    @property
    def ended(self) -> Ended | None:
        """What its cost may follow from, if it was opened; the operator's word."""
        if not isinstance(self.entry, Settle) or not self.possible:
            return None
        members = self.entry.members
        return Ended(members.survivors, members.sharing)


def read(log: Log, reserved: Sequence[Reserved]) -> tuple[dict[str, End], list[Finding]]:
    """The end of each sum, by its plan's digest. Opened and given up, it counts as opened.

    Args:
        log: The entries.
        reserved: What was asked for.
    """
    of_plan: dict[str, Reserved] = {}
    for each in reserved:
        of_plan.setdefault(each.digest, each)
    ends: dict[str, End] = {}
    found: list[Finding] = []
    for index, entry in log.entries:
        if not isinstance(entry, Settle | Abort):
            continue
        sum_ = of_plan.get(entry.plan)
        if sum_ is None or sum_.index > index:
            found.append(_unreserved(index, entry, sum_))
            continue
        faults = list(_impossible(index, entry.members, sum_)) if isinstance(entry, Settle) else []
        end, before = End(index, entry, not faults), ends.get(entry.plan)
        found += faults
        if before is not None:
            words = f"{end.outcome}, and was {before.outcome} by entry {before.index}"
            found.append(finding("end-twice", words, index))
        if before is None or before.settle is None:
            ends[entry.plan] = end
    return ends, [*found, *_unfinished(reserved, ends)]


def _unreserved(index: int, entry: EndOfSum, sum_: Reserved | None) -> Finding:
    what = "opened" if isinstance(entry, Settle) else "given up"
    if sum_ is None:
        words = f"{what}: the sum of plan {entry.plan[:SHOWN]}, which no entry reserves"
    else:
        words = f"{what} before it was reserved, by entry {sum_.index}"
    return finding("end-without-reserve", words, index)


def _impossible(index: int, members: Members, sum_: Reserved) -> Iterator[Finding]:
    """Claims that no sum can have; `noise_left` counts survivors, and none where no noise is taken out."""
    plan = sum_.plan
    if members.survivors < plan.minimum:
        words = f"{members.survivors} devices in the sum, its plan opens none below {plan.minimum}"
        yield finding("members-impossible", words, index)
    nested = (
        ("survivors", members.survivors, "sharing", members.sharing),
        ("sharing", members.sharing, "advertised", members.advertised),
        ("advertised", members.advertised, "asked", plan.cohort),
        ("with noise left", members.noise_left, "survivors", members.survivors),
    )
    for inner, few, outer, many in nested:
        if few > many:
            words = f"{few} devices {inner}, and {many} {outer}"
            yield finding("members-impossible", words, index)
    if members.noise_left and not (plan.noise and plan.noise.removal):
        words = f"{members.noise_left} devices with noise left, in a sum whose noise is not taken out"
        yield finding("members-impossible", words, index)


def _unfinished(reserved: Sequence[Reserved], ends: dict[str, End]) -> Iterator[Finding]:
    for each in reserved:
        if each.digest not in ends:
            words = f"sum {each.plan.sum} of run {each.plan.run!r} has no end; it counts as spent"
            yield finding("sum-unfinished", words, each.index)
