"""How often each device can have been asked, and how fast: every sum counts for every device."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence

from covey.ledger.findings import Finding, finding
from covey.policy.terms import rate
from covey_audit.auditing.reserves import Reserved


def check(reserved: Sequence[Reserved]) -> Iterator[Finding]:
    """Where a policy's numbers of answers, or its rate limit, were passed.

    A device is in one cohort of a sum: the cohorts of a sum count once.

    Args:
        reserved: All plans.
    """
    seen: set[tuple[str, int]] = set()
    counted: Counter[str] = Counter()
    times: dict[str, list[int]] = {}
    clock = 0
    for each in reserved:
        clock = max(clock, each.time)  # set back, it would seem slower than it was
        if each.key in seen:
            continue
        seen.add(each.key)
        counted[each.kind] += 1
        if each.policy is not None:
            yield from _answers(each, counted)
            yield from _rate(each, clock, times.setdefault(each.kind, []))


def _answers(each: Reserved, counted: Counter[str]) -> Iterator[Finding]:
    if each.policy is None:
        return
    most, query = each.policy.policy.budget.answers, each.query
    if counted.total() > most:
        words = f"answer {counted.total()} of a device, the policy allows {most} in all"
        yield finding("answers-exceeded", words, each.index)
    if query is not None and counted[each.kind] > query.answers:
        words = f"answer {counted[each.kind]} to {each.kind} of a device, the policy allows {query.answers}"
        yield finding("answers-exceeded", words, each.index)


def _rate(each: Reserved, clock: int, times: list[int]) -> Iterator[Finding]:
    times.append(clock)
    limit = rate(each.query) if each.query is not None else None
    if each.query is None or limit is None:
        return
    count, seconds = limit
    lately = len(times) - bisect_right(times, clock - seconds)
    if lately > count:
        words = f"answer {lately} to {each.kind} within {seconds} s"
        yield finding("rate-exceeded", f"{words}, the policy allows {each.query.rate_limit}", each.index)
