"""What two policies say differently of the questions that devices may be asked."""

from collections.abc import Iterator

from covey.policy.difference import Difference, less, more, verdict
from covey.policy.terms import KINDS, Policy, Query, QueryKind, exact, rate
from covey.policy.wording import count


def query_differences(old: Policy, new: Policy) -> Iterator[Difference]:
    """What two policies let be asked that the other does not."""
    for kind in KINDS:
        before, after = old.queries.get(kind), new.queries.get(kind)
        if before is not None and after is not None:
            yield from _query(kind, before, after)
        elif after is not None:
            told = f"devices may be asked for {kind}, {count(after.answers, 'time')}; before, not at all"
            yield Difference("weaker", f"queries.{kind}", told)
        elif before is not None:
            told = f"devices may no longer be asked for {kind}; before, {count(before.answers, 'time')}"
            yield Difference("stronger", f"queries.{kind}", told)


def _query(kind: QueryKind, old: Query, new: Query) -> Iterator[Difference]:
    at = f"queries.{kind}"
    yield from _models(kind, old, new)
    yield from more(
        f"{at}.clip",
        exact(old.clip),
        exact(new.clip),
        f"one row of a {kind} answer may weigh {new.clip} instead of {old.clip} (noise grows with it)",
    )
    yield from less(
        f"{at}.noise_multiplier",
        exact(old.noise_multiplier),
        exact(new.noise_multiplier),
        f"the noise multiplier of {kind} sums is {new.noise_multiplier} instead of {old.noise_multiplier}",
    )
    yield from less(
        f"{at}.minimum",
        old.minimum,
        new.minimum,
        f"a {kind} sum opens with {count(new.minimum, 'device')} in it instead of {old.minimum}",
    )
    yield from more(
        f"{at}.sampling_rate",
        exact(old.sampling_rate),
        exact(new.sampling_rate),
        f"an example joins {kind} sums with a chance of {new.sampling_rate} instead of {old.sampling_rate}",
    )
    yield from more(
        f"{at}.answers",
        old.answers,
        new.answers,
        f"a device may answer {kind} {count(new.answers, 'time')} instead of {old.answers:,}",
    )
    yield from _options(kind, old, new)
    if rate(old) != rate(new):
        way = verdict(weaker=_slower(old, new), stronger=_slower(new, old))
        told = f"a device may answer {kind} {_often(new)} instead of {_often(old)}"
        yield Difference(way, f"{at}.rate_limit", told)


def _models(kind: QueryKind, old: Query, new: Query) -> Iterator[Difference]:
    for model in sorted({*new.models} - {*old.models}):
        yield Difference("weaker", f"queries.{kind}.models", f'{kind} may now be about model "{model}"')
    for model in sorted({*old.models} - {*new.models}):
        yield Difference(
            "stronger", f"queries.{kind}.models", f'{kind} may no longer be about model "{model}"'
        )


def _options(kind: QueryKind, old: Query, new: Query) -> Iterator[Difference]:
    for option in sorted({*new.options} - {*old.options}):
        yield Difference("weaker", f"queries.{kind}.options", f"{kind} may now ask for {option}")
    for option in sorted({*old.options} - {*new.options}):
        yield Difference("stronger", f"queries.{kind}.options", f"{kind} may no longer ask for {option}")


def _slower(first: Query, second: Query) -> bool:
    """Whether whoever keeps the first limit always keeps the second."""
    one, two = rate(first), rate(second)
    if two is None or one is None:
        return two is None
    periods = -(-two[1] // one[1])  # of the first that together cover one of the second
    return one[0] * periods <= two[0]


def _often(query: Query) -> str:
    return "as fast as it is asked" if rate(query) is None else query.rate_limit
