"""A release's record from the ledger that paid for it: the publisher's half of `covey.package.provenance`."""

from collections.abc import Sequence
from dataclasses import dataclass

from covey import claim
from covey import plan as plans
from covey.claim import Privacy
from covey.errors import InputError
from covey.ledger import entries
from covey.ledger.checkpoint import claimed
from covey.ledger.entries import Reserve, Settle
from covey.ledger.history import History
from covey.ledger.proof import Logged
from covey.package.provenance_record import Claim
from covey.package.provenance_sums import AskedSums, grouped
from covey.plan import Plan
from covey.spending import Asked, Ended, Sum


@dataclass(frozen=True)
class Paid:
    """What the ledger shows of a run.

    Attributes:
        policy: SHA-256 of the policy that its last plan appeals to; None without one.
        participants: Devices in the largest sum that was opened.
        claim: What the run cost.
        sums: All of its sums.
        budget: Its last reserve.
        settle: The settle of it; None if there is none.
        carried: The last reserve whose plan carried the parameters.
        checkpoint: The signed note.
    """

    policy: str | None
    participants: int
    claim: Claim
    sums: tuple[AskedSums, ...]
    budget: Logged
    settle: Logged | None
    carried: Logged
    checkpoint: str


@dataclass(frozen=True)
class _Row:
    """A reserve of the run, and what ended it.

    Attributes:
        index: Its place in the ledger.
        plan: What was asked.
        settled: Place and content of its settle.
    """

    index: int
    plan: Plan
    settled: tuple[int, Settle] | None


def paid(lines: Sequence[bytes], checkpoint: bytes, run: str, model: str, delta: float) -> Paid:
    """Read a run's part of a ledger.

    Args:
        lines: The ledger's entries as they stand there.
        checkpoint: Its newest checkpoint, a signed note; entries after it prove nothing.
        run: The run's identifier.
        model: `covey.arrays.digest` of the parameters that are released.
        delta: δ of the whole run.

    Raises:
        InputError: The checkpoint does not cover the run, or no plan of it carried the model.
        ProtocolError: The ledger is damaged.
    """
    head = claimed(checkpoint, blame="local")
    rows = _rows(lines, run)
    history = History.of(lines)
    if not rows or rows[-1].index >= head.size or head.size > history.size:
        raise InputError(
            f"the ledger's checkpoint covers no whole run {run!r}",
            hint="let the run finish, or audit its ledger",
        )
    if history.root(head.size) != head.root:
        raise InputError("the ledger's entries are not those of its checkpoint", hint="audit it")
    carried = [row for row in rows if row.plan.model_sha256 == model]
    if not carried:
        raise InputError(
            f"no plan of run {run!r} carried these parameters", hint="build from the run's own folder"
        )

    def logged(index: int) -> Logged:
        return Logged(index=index, line=lines[index].decode(), path=history.inclusion(index, head.size))

    last = rows[-1]
    settle = last.settled[0] if last.settled and last.settled[0] < head.size else None
    return Paid(
        policy=last.plan.policy.sha256 if last.plan.policy else None,
        participants=max((row.settled[1].members.survivors for row in rows if row.settled), default=0),
        claim=_claim(claim.privacy_of([_sum(row) for row in rows], delta)),
        sums=grouped(Asked.of(row.plan) for row in rows),
        budget=logged(last.index),
        settle=None if settle is None else logged(settle),
        carried=logged(carried[-1].index),
        checkpoint=checkpoint.decode(),
    )


def _rows(lines: Sequence[bytes], run: str) -> list[_Row]:
    found: dict[str, _Row] = {}
    for index, line in enumerate(lines):
        entry = entries.decode(line, blame="local")
        if isinstance(entry, Reserve):
            plan = plans.from_bytes(entry.plan)
            if plan.run == run:
                found[plans.digest(entry.plan)] = _Row(index, plan, None)
        elif isinstance(entry, Settle) and entry.plan in found:
            row = found[entry.plan]
            found[entry.plan] = _Row(row.index, row.plan, (index, entry))
    return sorted(found.values(), key=lambda row: row.index)


def _sum(row: _Row) -> Sum:
    if row.settled is None:
        return Asked.of(row.plan), None
    members = row.settled[1].members
    return Asked.of(row.plan), Ended(members.survivors, members.sharing)


def _claim(privacy: Privacy) -> Claim:
    return Claim(
        unit=privacy.unit,  # type: ignore[arg-type]  # a plan's, in words
        delta=repr(privacy.delta),
        epsilon_server=_decimal(privacy.epsilon_server),
        epsilon_release=_decimal(privacy.epsilon_release),
        masks=privacy.masks,  # type: ignore[arg-type]  # as above
        noise=privacy.noise,  # type: ignore[arg-type]  # as above
        simulated=privacy.simulated,
        statement=privacy.statement,
    )


def _decimal(epsilon: float | None) -> str | None:
    return None if epsilon is None else f"{epsilon:.{claim.DECIMALS}f}"
