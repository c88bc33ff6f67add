"""What left the operator's hands, and which run paid for it."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from covey.ledger.entries import AuditResult, MetricsRelease, ModelRelease, TuningRun
from covey.ledger.findings import Finding, finding
from covey.plan import Compare, Health
from covey_audit.audited import EarlierAudit, ReleaseFacts, TuningFacts
from covey_audit.auditing.policies import SHOWN
from covey_audit.auditing.reserves import Reserved
from covey_audit.auditing.structure import Log


def read(log: Log, reserved: Sequence[Reserved]) -> tuple[tuple[ReleaseFacts, ...], list[Finding]]:
    """Every release, held against the sums of its run that came before it.

    Args:
        log: The entries.
        reserved: All plans.
    """
    of_run: dict[str, list[Reserved]] = {}
    for each in reserved:
        of_run.setdefault(each.plan.run, []).append(each)
    releases: list[ReleaseFacts] = []
    found: list[Finding] = []
    for index, entry in log.entries:
        if isinstance(entry, ModelRelease | MetricsRelease):
            run = of_run.get(entry.run, [])
            before = run[: bisect_left(run, index, key=_index)]
            release = _facts(index, entry, before)
            releases.append(release)
            found += [*_unpaid(release, before), *_policy(release, before)]
    return tuple(releases), [*found, *_runs(releases, of_run)]


def tunings(log: Log, reserved: Sequence[Reserved]) -> tuple[tuple[TuningFacts, ...], list[Finding]]:
    """What was chosen on the same people's data, by the operator's word."""
    facts = []
    found = []
    for index, entry in log.entries:
        if not isinstance(entry, TuningRun):
            continue
        facts.append(TuningFacts(index, entry.run, entry.words, entry.epsilon, entry.delta))
        if entry.epsilon is None or entry.delta is None:
            words = f"settings of run {entry.run!r} were chosen on the same data: {entry.words}"
            found.append(finding("tuning-unaccounted", words, index))
    trained = {each.plan.run for each in reserved if not isinstance(each.plan.task, Health)}
    untold = sorted(trained - {each.run for each in facts})
    if untold:
        words = f"nothing says how the settings of {_runs_named(untold)} were chosen"
        found.append(finding("tuning-unstated", words))
    return tuple(facts), found


def audits(log: Log) -> tuple[EarlierAudit, ...]:
    """Audits that are entered, by the operator's word."""
    return tuple(
        EarlierAudit(index, entry.size, entry.findings, entry.report, entry.words)
        for index, entry in log.entries
        if isinstance(entry, AuditResult)
    )


def _facts(index: int, entry: ModelRelease | MetricsRelease, before: Sequence[Reserved]) -> ReleaseFacts:
    if isinstance(entry, MetricsRelease):
        return ReleaseFacts(index, entry.time, "metrics", entry.run, entry.name, entry.sha256, "", None, None)
    carried = [each.index for each in before if each.plan.model_sha256 == entry.model]
    last = carried[-1] if carried else None
    return ReleaseFacts(
        index, entry.time, "model", entry.run, "", entry.package, entry.model, entry.policy, last
    )


def _unpaid(release: ReleaseFacts, before: Sequence[Reserved]) -> Iterator[Finding]:
    if not before:
        words = f"no sum of run {release.run!r} stands above it"
        yield finding("release-unpaid", words, release.index)
    elif release.kind == "model" and release.carried_by is None:
        words = f"no plan of run {release.run!r} carried model {release.model[:SHOWN]}"
        yield finding("release-unpaid", words, release.index)
    elif release.kind == "model" and _last_trained(before).plan.model_sha256 != release.model:
        words = f"the model of entry {release.carried_by}; the run's last by then was another"
        yield finding("release-of-earlier-model", words, release.index)


def _last_trained(before: Sequence[Reserved]) -> Reserved:
    """The last plan that carried what is trained; comparisons carry files, and health carries nothing."""
    return next(
        (each for each in reversed(before) if not isinstance(each.plan.task, Compare | Health)), before[-1]
    )


def _policy(release: ReleaseFacts, before: Sequence[Reserved]) -> Iterator[Finding]:
    if release.kind != "model" or not before:
        return
    held = before[-1].policy
    under = held.sha256 if held else None
    if release.policy != under:
        words = f"it names policy {_name(release.policy)}, its run was under {_name(under)}"
        yield finding("release-under-other-policy", words, release.index)


def _runs(releases: Sequence[ReleaseFacts], of_run: dict[str, list[Reserved]]) -> Iterator[Finding]:
    last = {each.run: each for each in releases if each.kind == "model"}
    for run, release in last.items():
        after = [each for each in of_run.get(run, ()) if each.index > release.index]
        if after:
            words = f"run {run!r} went on after its release in entry {release.index}"
            yield finding("run-after-release", words, after[0].index)
    told = {run for run, plans in of_run.items() if all(isinstance(each.plan.task, Health) for each in plans)}
    for run in of_run.keys() - {each.run for each in releases} - told:
        yield finding("run-unreleased", f"nothing of run {run!r} was released", of_run[run][-1].index)


def _name(policy: str | None) -> str:
    return "none" if policy is None else policy[:SHOWN]


def _runs_named(runs: Sequence[str]) -> str:
    return f"run {runs[0]!r}" + (f" and {len(runs) - 1} more" if len(runs) > 1 else "")


def _index(each: Reserved) -> int:
    return each.index
