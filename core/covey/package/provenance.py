"""Whether a release's account of its own making holds: offline, by what the package carries.

What is shown: the models are the ones it speaks of; a ledger that is signed and witnessed as trusted holds
the run's last reserve, and one whose plan carried parameters of this digest, both as they are listed; every
serial number up to the last is accounted for; and ε, computed anew from all sums that are listed, is what is
stated and no more than the policy's.

What cannot be shown here, and an audit of the ledger checks: that the parameters of all other sums are as
listed (their entries are not carried), that no other run of the fleet spent from the same devices' budgets,
that the ONNX files hold the parameters of that digest, the ε against who sees only releases, and what
quantisation, gate and figures say. Those stand by the publisher's signature.
"""

import hashlib
import hmac
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import Final

from covey import claim, merkle, spending
from covey import plan as plans
from covey.accounting import round_up
from covey.claim import DECIMALS
from covey.errors import CoveyError, PackageError
from covey.gate_report import consistent
from covey.ledger import entries
from covey.ledger.checkpoint import Checkpoint, LogTrust, open_checkpoint
from covey.ledger.entries import Reserve, Settle
from covey.ledger.proof import Logged
from covey.package.contents import MODELS, Contents
from covey.package.names import PROVENANCE
from covey.package.provenance_record import Record
from covey.package.provenance_statement import Provenance, decode, encode, provenance_of
from covey.package.provenance_sums import asked
from covey.plan import Compare, Health, Plan
from covey.policy.terms import Policy, exact
from covey.spending import Asked

__all__ = ["Provenance", "Record", "check_provenance", "decode", "encode", "provenance_of", "read_provenance"]

SHOWN: Final = 5
SLACK: Final = Fraction(2, 1000)
"""Between a stated ε and the same computed on another machine: both are rounded up to thousandths."""


def read_provenance(package: Contents) -> Provenance | None:
    """A package's provenance; None if it carries none.

    Raises:
        PackageError: Malformed.
    """
    data = package.files.get(PROVENANCE)
    return None if data is None else decode(data)


def check_provenance(
    package: Contents, provenance: Provenance, policy: Policy | None, log_trust: LogTrust
) -> None:
    """Check all that a device can check; the top of this file says what that is.

    Args:
        package: Whose signature was verified: what is not computed here stands by it.
        provenance: Its own, decoded.
        policy: What the run's ε is held to, verified; None to hold it to nothing.
        log_trust: Whose checkpoints count; usually `policy.log_trust()`.

    Raises:
        PackageError: It does not hold; says at which step.
    """
    record = provenance.record
    _check_package(package, provenance)
    head = _head(record, log_trust)
    plan, carried = (_plan(each, head, record) for each in (record.budget, record.carried))
    _check_carried(carried, plan, record)
    _check_settle(plan, head, record)
    sums = asked(record.sums, record.run)
    _check_complete(sums, carried, plan)
    _check_claim(sums, record)
    if policy is not None:
        _check_policy(sums, plan, policy)
    if record.gate is not None and not (consistent(record.gate) and record.gate.may_publish):
        raise _refusal(f"it was not to be published: {record.gate.words}")


def _check_package(package: Contents, provenance: Provenance) -> None:
    manifest, record = package.manifest, provenance.record
    if (record.name, record.version) != (manifest.name, manifest.version):
        raise _refusal(f"it is of {record.name} {record.version}, not {manifest.name} {manifest.version}")
    found = {
        MODELS[variant]: hashlib.sha256(package.model(variant)).hexdigest() for variant in package.variants
    }
    if provenance.subjects != found:
        raise _refusal("its subjects are not the models in the package")


def _head(record: Record, trust: LogTrust) -> Checkpoint:
    try:
        return open_checkpoint(record.checkpoint.encode(), trust, blame="publisher").checkpoint
    except CoveyError as error:
        raise _refusal(f"{error.message}") from error


def _entry(logged: Logged, head: Checkpoint) -> entries.AnyEntry:
    line = logged.line.encode()
    if not merkle.verify_path(line, logged.index, head.size, logged.path, head.root):
        raise _refusal(f"entry {logged.index} is not in the ledger under its checkpoint")
    try:
        return entries.decode(line, blame="publisher")
    except CoveyError as error:
        raise _refusal(error.message) from error


def _plan(logged: Logged, head: Checkpoint, record: Record) -> Plan:
    """The plan of a reserve of the run."""
    entry = _entry(logged, head)
    if not isinstance(entry, Reserve):
        raise _refusal(f"entry {logged.index} reserves nothing")
    try:
        plan = plans.from_bytes(entry.plan)
    except CoveyError as error:
        raise _refusal(error.message) from error
    if plan.run != record.run:
        raise _refusal(f"entry {logged.index} is of run {plan.run!r}, not of {record.run!r}")
    if (plan.policy.sha256 if plan.policy else None) != record.policy:
        raise _refusal(f"entry {logged.index} appeals to another policy")
    return plan


def _check_carried(carried: Plan, last: Plan, record: Record) -> None:
    if not hmac.compare_digest(carried.model_sha256, record.model):
        raise _refusal(f"entry {record.carried.index} carried another model")
    if isinstance(carried.task, Compare | Health):
        raise _refusal(
            f"entry {record.carried.index} carried no parameters: it asks for {plans.kind(carried)}"
        )
    if carried.sum > last.sum or carried.round > record.last_round:
        raise _refusal("its model is of a later sum than its last")
    if not record.first_round <= record.last_round:
        raise _refusal(f"its rounds {record.first_round} to {record.last_round} are none")


def _check_settle(plan: Plan, head: Checkpoint, record: Record) -> None:
    if record.settle is None:
        return
    entry = _entry(record.settle, head)
    if not isinstance(entry, Settle) or record.settle.index <= record.budget.index:
        raise _refusal(f"entry {record.settle.index} is not the settle of its last sum")
    reserve = _entry(record.budget, head)
    if not isinstance(reserve, Reserve) or not hmac.compare_digest(entry.plan, plans.digest(reserve.plan)):
        raise _refusal(f"entry {record.settle.index} is not the settle of its last sum")
    if not plan.minimum <= entry.members.survivors <= record.participants:
        raise _refusal(f"{entry.members.survivors} devices were in its last sum")


def _check_complete(sums: list[Asked], carried: Plan, last: Plan) -> None:
    """Serial numbers rise by one from the first sum to the last: one that is left out leaves a gap."""
    for name, plan in (("last", last), ("model's", carried)):
        if Asked.of(plan) not in sums:
            raise _refusal(f"its {name} sum is not listed as it stands in the ledger")
    places = [(each.sum, each.cohort_number) for each in sums]
    if len(set(places)) != len(places):
        raise _refusal("it lists a sum twice")
    listed = {each.sum for each in sums}
    missing = islice((serial for serial in range(1, last.sum + 1) if serial not in listed), SHOWN)
    if words := ", ".join(map(str, missing)):
        raise _refusal(f"it lists no sum {words}")
    if sums[-1].sum != last.sum:
        raise _refusal(f"it lists sum {sums[-1].sum}, and proves sum {last.sum} as the last")


def _check_claim(sums: list[Asked], record: Record) -> None:
    """What is computed is what is stated."""
    stated, delta = record.claim, exact(record.claim.delta)
    if any(each.unit != stated.unit for each in sums) or not 0 < delta < 1:
        raise _refusal("its sums are of another unit than it states, or δ is none")
    try:
        found = claim.privacy_of(((each, None) for each in sums), float(delta))
    except (CoveyError, ValueError, ArithmeticError) as error:
        raise _refusal(f"its sums have no cost that can be computed: {error}") from error
    if (found.masks, found.noise, found.simulated) != (stated.masks, stated.noise, stated.simulated):
        raise _refusal("its sums were protected otherwise than it states")
    computed, said = found.epsilon_server, stated.epsilon_server
    if (computed is None) != (said is None):
        raise _refusal("it states an ε where there is none, or none where there is one")
    if computed is not None and said is not None and Fraction(computed) > exact(said) + SLACK:
        raise _refusal(f"it states ε = {said}, its sums cost {computed}")


def _check_policy(sums: list[Asked], last: Plan, policy: Policy) -> None:
    for refusal in _policy_refusals(sums, last, policy):
        raise _refusal(refusal)


def _policy_refusals(sums: list[Asked], last: Plan, policy: Policy) -> Iterator[str]:
    budget = policy.budget
    if last.policy is None:
        yield "its run was under no policy"
    elif last.policy.serial > policy.serial:
        yield f"its run was under policy {last.policy.serial}, the one at hand is {policy.serial}"
    if last.unit != budget.unit:
        yield f"its sums protect one {last.unit}, the policy promises it for one {budget.unit}"
    if not policy.simulation and any(each.noise and each.noise.seeded for each in sums):
        yield "its noise came from a seed, which only a simulation's may"
    cost = spending.spent(((each, None) for each in sums), float(exact(budget.delta))).server
    if cost is None:
        yield "a sum of its run had no noise"
    elif not cost.value <= float(exact(budget.epsilon)):  # nor is a number that is none
        found = f"ε = {round_up(cost.value, DECIMALS)} at δ = {budget.delta}"
        yield f"its run cost {found}, the policy allows {budget.epsilon}"


def _refusal(fault: str) -> PackageError:
    return PackageError(
        f"{PROVENANCE}: {fault}", hint="do not install it; ask its publisher and the reviewers"
    )
