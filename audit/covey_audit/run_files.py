"""A run's other files against its ledger: what its summary claims, and what was released.

The summary is for scripts and people who do not audit; the ledger is what devices saw.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from covey.claim import Privacy, privacy_of
from covey.errors import InputError
from covey.ledger.findings import Finding, finding
from covey.spending import Asked, Ended
from covey_audit.audited import Audited, ReleaseFacts, SumFacts


@dataclass(frozen=True)
class RunFiles:
    """What is in a run's folder beside its ledger.

    Attributes:
        run: The run's identifier.
        summary: `summary.json`; None if there is none.
        figures: `metrics.csv`; None if there is none.
        packages: SHA-256 of each package, by name.
    """

    run: str
    summary: bytes | None
    figures: bytes | None
    packages: Mapping[str, str]


class _Summary(msgspec.Struct, frozen=True):
    privacy: Privacy
    simulation: bool
    model_sha256: str = ""


def compared(audited: Audited, files: RunFiles) -> Audited:
    """An audit with what a run's other files add to it.

    Args:
        audited: Of the ledger.
        files: Of a run in it.

    Raises:
        InputError: The summary cannot be read.
    """
    sums = [each for each in audited.sums if each.plan.run == files.run]
    released = [each for each in audited.releases if each.run == files.run]
    found = [*_summary(files, sums, audited), *_packages(files, released), *_figures(files, released)]
    return replace(audited, findings=tuple(sorted([*audited.findings, *found], key=lambda each: each.order)))


def _summary(files: RunFiles, sums: Sequence[SumFacts], audited: Audited) -> Iterator[Finding]:
    if files.summary is None:
        return
    try:
        summary = msgspec.json.decode(files.summary, type=_Summary)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError("the run's summary.json cannot be read", hint="audit the ledger's folder") from error
    if not sums:
        yield finding(
            "summary-differs", f"the summary is of run {files.run!r}, which the ledger does not know"
        )
        return
    for words in _other_claims(summary.privacy, sums, audited):
        yield finding("summary-differs", words, sums[-1].index)
    if audited.simulation and not summary.simulation:
        yield finding("summary-differs", "the summary does not say that this is a simulation", sums[0].index)
    models = [each.model for each in audited.releases if each.run == files.run and each.kind == "model"]
    if models and not hmac.compare_digest(models[-1], summary.model_sha256):
        yield finding("summary-differs", "the summary is of another model than was released", sums[-1].index)


def _other_claims(said: Privacy, sums: Sequence[SumFacts], audited: Audited) -> Iterator[str]:
    """In words, what a run's sums say otherwise than its summary."""
    unit = sums[0].plan.unit
    if said.unit != unit or any(each.plan.unit != unit for each in sums):
        yield f"the summary is for unit {said.unit!r}, the sums are not all"
        return
    for cost in audited.costs:
        if cost.unit == unit and cost.cap is not None and said.delta != cost.delta:
            yield f"the summary states epsilon at delta {said.delta!r}, the policy's is {cost.delta!r}"
    try:
        known = privacy_of([(Asked.of(each.plan), _ended(each)) for each in sums], said.delta)
    except InputError as error:
        yield f"nothing can be computed for the summary's delta of {said.delta!r}: {error.message}"
        return
    for name in Privacy.__struct_fields__:
        claimed, right = getattr(said, name), getattr(known, name)
        if claimed != right:
            yield f"the summary says {name} {claimed!r}, the ledger's sums give {right!r}"


def _ended(each: SumFacts) -> Ended | None:
    members = each.members
    return None if members is None else Ended(members.survivors, members.sharing)


def _packages(files: RunFiles, released: Sequence[ReleaseFacts]) -> Iterator[Finding]:
    known = [each for each in released if each.kind == "model"]
    for name, sha256 in sorted(files.packages.items()):
        if not known:
            yield finding(
                "release-unlogged", f"package {name!r} is there, and no release of it in the ledger"
            )
        elif all(not hmac.compare_digest(each.sha256, sha256) for each in known):
            words = f"package {name!r} is another than the one released"
            yield finding("release-differs", words, known[-1].index)


def _figures(files: RunFiles, released: Sequence[ReleaseFacts]) -> Iterator[Finding]:
    if files.figures is None:
        return
    known = [each for each in released if each.kind == "metrics" and each.name == "metrics.csv"]
    if not known:
        yield finding("release-unlogged", "metrics.csv is there, and no release of it in the ledger")
    elif not hmac.compare_digest(known[-1].sha256, hashlib.sha256(files.figures).hexdigest()):
        words = "metrics.csv is another than the one released"
        yield finding("release-differs", words, known[-1].index)
