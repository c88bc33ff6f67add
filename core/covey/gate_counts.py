"""What a fleet counted of two models on the same examples: the sums of one private query, noise and all.

A row of the query stands for one example, in this order: five cells overall, three for each class, three for
each device group.

    overall     example, old right, new right, old right and new wrong, new right and old wrong
    class       example of it, missed by old, missed by new
    group       example in it, old right, new right
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

OVERALL_CELLS = 5
CELLS = 3


@dataclass(frozen=True)
class Overall:
    """All examples.

    Attributes:
        examples: How many.
        old_right: The old model decided right.
        new_right: The new one did.
        lost: The old one did and the new one did not.
        gained: The new one did and the old one did not.
    """

    examples: float
    old_right: float
    new_right: float
    lost: float
    gained: float


@dataclass(frozen=True)
class OfClass:
    """Examples of one class.

    Attributes:
        label: The class.
        examples: How many.
        old_missed: The old model took them for another class.
        new_missed: The new one did.
    """

    label: str
    examples: float
    old_missed: float
    new_missed: float


@dataclass(frozen=True)
class OfGroup:
    """Examples on devices of one group.

    Attributes:
        name: The group.
        examples: How many.
        old_right: The old model decided right.
        new_right: The new one did.
    """

    name: str
    examples: float
    old_right: float
    new_right: float


@dataclass(frozen=True)
class Counts:
    """The opened sum in the units of examples; cells may be fractional or negative.

    Attributes:
        overall: All examples.
        classes: One for each label, in the labels' order.
        groups: One for each device group; may be empty.
        deviation: Standard deviation of the noise on every cell, in examples; 0 for none.

    Raises:
        ValueError: A cell is not finite, or the deviation is negative.
    """

    overall: Overall
    classes: tuple[OfClass, ...]
    groups: tuple[OfGroup, ...]
    deviation: float

    def __post_init__(self) -> None:
        if not all(isfinite(cell) for cell in (*self.cells(), self.deviation)):
            raise ValueError("a count that is not a finite number")
        if self.deviation < 0:
            raise ValueError(f"a noise deviation of {self.deviation}")

    def cells(self) -> Iterator[float]:
        """All cells, in the order of the query's row."""
        every: tuple[Overall | OfClass | OfGroup, ...] = (self.overall, *self.classes, *self.groups)
        for part in every:
            yield from (each for each in vars(part).values() if not isinstance(each, str))

    def scaled(self, examples: float, noise: float) -> "Counts":
        """As many times the examples with the same rates, and as many times the noise."""
        cells = [cell * examples for cell in self.cells()]
        labels, names = [each.label for each in self.classes], [each.name for each in self.groups]
        return counts_of(cells, labels, names, self.deviation * noise)


def counts_of(
    total: Sequence[float], labels: Sequence[str], groups: Sequence[str], deviation: float
) -> Counts:
    """The counts in an opened sum.

    Args:
        total: Shape (5 + 3·labels + 3·groups,), in the order of the query's row, in units of examples.
        labels: The classes.
        groups: The device groups.
        deviation: Of the noise on one cell, in examples.

    Raises:
        ValueError: Of another length, not finite, or a negative deviation.
    """
    expected = OVERALL_CELLS + CELLS * (len(labels) + len(groups))
    if len(total) != expected:
        raise ValueError(f"{len(total)} cells, expected {expected}")
    cells = [float(cell) for cell in total]
    overall = Overall(*cells[:OVERALL_CELLS])
    threes = [cells[start : start + CELLS] for start in range(OVERALL_CELLS, expected, CELLS)]
    classes = tuple(OfClass(label, *three) for label, three in zip(labels, threes, strict=False))
    rest = threes[len(labels) :]
    return Counts(
        overall,
        classes,
        tuple(OfGroup(name, *three) for name, three in zip(groups, rest, strict=True)),
        deviation,
    )
