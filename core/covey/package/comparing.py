"""What changed between two releases, as rows that people and scripts read."""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from covey.package.contents import MODELS, Contents, Variant
from covey.package.provenance import read_provenance
from covey.package.provenance_record import Figures, Record

NOT_THERE: Final = "none"
NOT_RECORDED: Final = "not recorded"
VARIANTS: Final[tuple[Variant, ...]] = ("fp32", "int8")

Topic = Literal[
    "package", "size", "accuracy", "missed", "latency", "budget", "labels", "preprocessing", "layers"
]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that may have changed.

    Attributes:
        topic: What kind of thing.
        name: Which.
        old: In the old release, in words.
        new: In the new one.
        change: From old to new, in words; empty where it is the same, or no number.
    """

    topic: Topic
    name: str
    old: str
    new: str
    change: str = ""

    @property
    def is_same(self) -> bool:
        """Whether nothing changed."""
        return self.old == self.new and not self.change


def compare(old: Contents, new: Contents) -> tuple[Row, ...]:
    """All that can be told from the packages alone; says nothing about who made them.

    Raises:
        PackageError: A provenance is malformed.
    """
    before, after = _record(old), _record(new)
    return (
        *_package(old, new, before, after),
        *_sizes(old, new),
        *_figures(before, after),
        *_budget(before, after),
        *_labels(old, new),
        _same("preprocessing", "means", _words(old.preprocessing.mean), _words(new.preprocessing.mean)),
        _same(
            "preprocessing",
            "deviations",
            _words(old.preprocessing.deviation),
            _words(new.preprocessing.deviation),
        ),
    )


def _package(old: Contents, new: Contents, before: Record | None, after: Record | None) -> Iterator[Row]:
    yield _same("package", "name", old.manifest.name, new.manifest.name)
    yield _same("package", "version", old.manifest.version, new.manifest.version)
    yield _same("package", "architecture", old.manifest.model, new.manifest.model)
    yield _same("package", "input", str(list(old.manifest.input_shape)), str(list(new.manifest.input_shape)))
    yield _same("package", "run", _run(before), _run(after))


def _sizes(old: Contents, new: Contents) -> Iterator[Row]:
    for variant in VARIANTS:
        sizes = [
            len(each.files[MODELS[variant]]) if variant in each.variants else None for each in (old, new)
        ]
        if any(sizes):
            yield _numbers("size", f"{variant} model, bytes", *sizes, places=0)
    total = [sum(map(len, each.files.values())) for each in (old, new)]
    yield _numbers("size", "all files, bytes", *total, places=0)


def _figures(before: Record | None, after: Record | None) -> Iterator[Row]:
    for variant in VARIANTS:
        old, new = _of(before, variant), _of(after, variant)
        if old is None and new is None:
            continue
        rates = [None if each is None else 100 * float(each.accuracy) for each in (old, new)]
        yield _numbers("accuracy", f"{variant}, per cent", *rates, places=2)
        yield from _missed(variant, old, new)
        times = [None if each is None else each.latency_us for each in (old, new)]
        if any(times):
            yield _numbers("latency", f"{variant}, median, microseconds", *times, places=0)


def _missed(variant: Variant, old: Figures | None, new: Figures | None) -> Iterator[Row]:
    shares = [
        {} if each is None else {one.label: 100 * float(one.share) for one in each.missed if one.share}
        for each in (old, new)
    ]
    for label in dict.fromkeys([*shares[0], *shares[1]]):
        yield _numbers(
            "missed",
            f"{variant}, of {label}, per cent",
            shares[0].get(label),
            shares[1].get(label),
            places=2,
        )


def _budget(before: Record | None, after: Record | None) -> Iterator[Row]:
    costs = [_epsilon(each) for each in (before, after)]
    yield _numbers("budget", "epsilon against the server", *costs, places=3)
    yield _same("budget", "claim", _claim(before), _claim(after))
    people = [None if each is None else each.participants for each in (before, after)]
    yield _numbers("budget", "devices in the largest sum", *people, places=0)


def _labels(old: Contents, new: Contents) -> Iterator[Row]:
    before, after = old.manifest.labels, new.manifest.labels
    gone = [f"without {label!r}" for label in before if label not in after]
    come = [f"with {label!r}" for label in after if label not in before]
    moved = [] if gone or come or before == after else ["another order: old decisions mean other classes"]
    yield Row(
        topic="labels",
        name="classes",
        old=", ".join(before),
        new=", ".join(after),
        change="; ".join([*gone, *come, *moved]),
    )


def _numbers(topic: Topic, name: str, old: float | None, new: float | None, *, places: int) -> Row:
    words = [NOT_RECORDED if each is None else f"{each:,.{places}f}" for each in (old, new)]
    if topic == "size":
        words = [NOT_THERE if each == NOT_RECORDED else each for each in words]
    change = ""
    if old is not None and new is not None and words[0] != words[1]:
        change = f"{new - old:+,.{places}f}"
        if topic in {"size", "latency"} and old:
            change += f" ({(new - old) / old * 100:+.1f} %)"
    return Row(topic=topic, name=name, old=words[0], new=words[1], change=change)


def _same(topic: Topic, name: str, old: str, new: str) -> Row:
    return Row(topic=topic, name=name, old=old, new=new)


def _record(package: Contents) -> Record | None:
    found = read_provenance(package)
    return None if found is None else found.record


def _of(record: Record | None, variant: Variant) -> Figures | None:
    found = () if record is None else record.figures
    return next((each for each in found if each.variant == variant), None)


def _epsilon(record: Record | None) -> float | None:
    if record is None or record.claim.epsilon_server is None:
        return None
    return float(record.claim.epsilon_server)


def _claim(record: Record | None) -> str:
    return NOT_RECORDED if record is None else record.claim.statement


def _run(record: Record | None) -> str:
    if record is None:
        return NOT_RECORDED
    return f"{record.run}, rounds {record.first_round} to {record.last_round}"


def _words(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{each:.6g}" for each in numbers)
