from collections import Counter
from collections.abc import Callable

import pytest

from covey.noise import exact
from covey.noise.discrete_gaussian import discrete_gaussian
from covey.noise.exact import Dice
from covey.noise.skellam import skellam
from covey.noise.table import Table
from covey.stream import Stream
from noise_laws import WHOLE, p_value

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))

LAWS = [
    (exact.skellam, skellam, 1, 20_000),
    (exact.skellam, skellam, 6, 20_000),
    (exact.skellam, skellam, 64, 3000),
    (exact.discrete_gaussian, discrete_gaussian, 1, 20_000),
    (exact.discrete_gaussian, discrete_gaussian, 6, 20_000),
    (exact.discrete_gaussian, discrete_gaussian, 300, 10_000),
]

Sampler = Callable[[Dice, int], int]
Law = Callable[[int], Table]


def sampled(sampler: Sampler, variance: int, number: int) -> list[int]:
    dice = Dice(Stream(KEY))
    return [sampler(dice, variance) for _ in range(number)]


def bins(law: Table, number: int) -> list[range]:
    """Ranges of values, each expected at least ten times among `number`; the outermost hold the tails."""
    edges, held = [-law.largest], 0
    for value in range(-law.largest, law.largest + 1):
        held += law.weight(value)
        if held * number >= 10 * WHOLE:
            edges.append(value + 1)
            held = 0
    return [*map(range, edges[:-2], edges[1:-1]), range(edges[-2], law.largest + 1)]


def fit(values: list[int], law: Table) -> float:
    """p of χ²: values against the exact weights."""
    seen, statistic, ranges = Counter(values), 0.0, bins(law, len(values))
    for one in ranges:
        expected = len(values) * sum(law.weight(value) for value in one) / WHOLE
        statistic += (sum(seen[value] for value in one) - expected) ** 2 / expected
    return p_value(statistic, len(ranges) - 1)


def agreement(first: list[int], second: list[int], ranges: list[range]) -> float:
    """p of χ²: two samples of equal size, against each other."""
    a, b, statistic = Counter(first), Counter(second), 0.0
    for one in ranges:
        left, right = sum(a[value] for value in one), sum(b[value] for value in one)
        statistic += (left - right) ** 2 / (left + right)
    return p_value(statistic, len(ranges) - 1)


@pytest.mark.parametrize(("sampler", "law", "variance", "number"), LAWS)
def test_the_exact_sampler_fits_the_weights(sampler: Sampler, law: Law, variance: int, number: int) -> None:
    assert fit(sampled(sampler, variance, number), law(variance)) > 1e-3


@pytest.mark.parametrize(("sampler", "law", "variance", "number"), LAWS)
def test_the_table_and_the_exact_sampler_agree(
    sampler: Sampler, law: Law, variance: int, number: int
) -> None:
    table = law(variance)
    drawn = table.draw(Stream(OTHER), number).tolist()
    assert agreement(drawn, sampled(sampler, variance, number), bins(table, number)) > 1e-3


@pytest.mark.parametrize("law", [skellam, discrete_gaussian])
@pytest.mark.parametrize("variance", [1, 64, 52632, 1 << 22])
def test_a_million_values_of_the_table_fit_its_weights(law: Law, variance: int) -> None:
    table = law(variance)
    assert fit(table.draw(Stream(KEY), 1_000_000).tolist(), table) > 1e-3


def test_the_comparison_notices_another_variance() -> None:
    values = sampled(exact.skellam, 6, 20_000)
    assert fit(values, skellam(7)) < 1e-9


def test_the_comparison_notices_the_other_law() -> None:
    values = skellam(2).draw(Stream(KEY), 20_000).tolist()
    assert fit(values, discrete_gaussian(2)) < 1e-9


def test_no_variance_no_noise() -> None:
    assert sampled(exact.skellam, 0, 10) == [0] * 10


@pytest.mark.parametrize("bound", [1, 2, 3, 5, 6, 24, 1000])
def test_dice_are_uniform(bound: int) -> None:
    dice, rolls = Dice(Stream(KEY)), 20 * bound + 5000
    seen = Counter(dice.below(bound) for _ in range(rolls))
    assert set(seen) == set(range(bound))
    statistic = sum((count - rolls / bound) ** 2 * bound / rolls for count in seen.values())
    assert bound == 1 or p_value(statistic, bound - 1) > 1e-3


def test_a_chance_of_one_and_of_none() -> None:
    dice = Dice(Stream(KEY))
    assert all(dice.chance(7, 7) for _ in range(100))
    assert not any(dice.chance(0, 7) for _ in range(100))


def test_dice_wider_than_their_pool() -> None:
    wide = [Dice(Stream(bytes([seed] * 32))).below(1 << 2000) for seed in range(20)]
    assert all(wide[0] != other for other in wide[1:])
    assert max(wide).bit_length() > 1990
