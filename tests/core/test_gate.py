"""The gate against numbers worked out by hand, against chance, and against more noise."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.gate import Counts, GateLimits, GateReport, counts_of, decide
from covey.gate_interval import Noisy, paired, ratio, share
from covey.gate_report import consistent
from covey.metrics import wilson

Z = 1.959963984540054
LABELS, GROUPS = ("resting", "falling"), ("hall", "ward")

# 10,000 examples; 60 that only the old model decides right and 40 that only the new one does.
EVEN = [
    *(10_000, 9_500, 9_480, 60, 40),
    *(8_000, 300, 315, 2_000, 200, 205),
    *(6_000, 5_700, 5_690, 4_000, 3_800, 3_790),
]


def counts(cells: Sequence[float] = EVEN, deviation: float = 0.0) -> Counts:
    return counts_of(cells, LABELS, GROUPS, deviation)


def changed(**cells: float) -> list[float]:
    """`EVEN` with other cells; "c8" is the one at place 8."""
    return [cells.get(f"c{place}", cell) for place, cell in enumerate(EVEN)]


def test_cells_are_read_in_the_order_of_the_querys_row() -> None:
    found = counts()
    assert (found.overall.lost, found.overall.gained) == (60, 40)
    assert [(each.label, each.new_missed) for each in found.classes] == [("resting", 315), ("falling", 205)]
    assert [(each.name, each.old_right) for each in found.groups] == [("hall", 5700), ("ward", 3800)]
    assert list(found.cells()) == EVEN
    with pytest.raises(ValueError, match="16 cells, expected 17"):
        counts_of(EVEN[:-1], LABELS, GROUPS, 0)
    with pytest.raises(ValueError, match="not a finite number"):
        counts(changed(c3=math.nan))


def test_a_paired_interval_by_hand() -> None:
    # b - c = 20, b + c = 100, n = 10,000: 20/10,002 -+ 1.96 sqrt(102)/10,002.
    found = paired(Noisy(20, 0), 100, Noisy(10_000, 0), Z)
    half = Z * math.sqrt(102) / 10_002
    assert found.estimate == pytest.approx(20 / 10_002)
    assert (found.low, found.high) == pytest.approx((20 / 10_002 - half, 20 / 10_002 + half))
    assert (found.low, found.high) == pytest.approx((0.0000205, 0.0039787), abs=5e-7)


def test_a_noisy_paired_interval_by_hand() -> None:
    # Variance 98 + 2 + 10^2 = 200; Fieller: 1002 D between the roots of
    # (1004004 - 38.4146) D^2 - 2 * 50 * 1002 D + 2500 - 3.84146 * 200 = 0, with sigma = sqrt(10) on n.
    found = paired(Noisy(50, 10), 98, Noisy(1000, math.sqrt(10)), Z)
    a, b, c = 1002**2 - Z * Z * 10, -2 * 50 * 1002, 2500 - Z * Z * 200
    roots = sorted(np.roots([a, b, c]).tolist())
    assert (found.low, found.high) == pytest.approx(roots)
    assert roots == pytest.approx([0.022231, 0.077572], abs=2e-5)


def test_where_noise_hides_the_examples_nothing_is_known() -> None:
    assert (ratio(1, 1, Noisy(19, 10), Z).low, ratio(1, 1, Noisy(19, 10), Z).high) == (-1, 1)
    assert ratio(1, 1, Noisy(-5, 1), Z).estimate == 0
    assert (share(9, 19, 10, Z).low, share(9, 19, 10, Z).high) == (0, 1)


@pytest.mark.parametrize(("events", "low", "high"), [(-30.0, 0.0, 0.22), (120.0, 0.73, 1.0)])
def test_a_share_that_noise_took_out_of_its_bounds_is_not_known_for_certain(
    events: float, low: float, high: float
) -> None:
    found = share(events, 90.0, 9.0, 1.96)
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


def test_a_share_without_noise_is_wilsons() -> None:
    for events, trials in ((0, 10), (7, 10), (10, 10), (950, 1000)):
        ours, theirs = share(events, trials, 0, Z), wilson(events, trials)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_a_model_that_is_as_good_passes() -> None:
    report = decide(counts(), GateLimits())
    assert (report.verdict, report.may_publish) == ("passed", True)
    assert [(check.number, check.of) for check in report.checks] == [
        ("accuracy drop", ""),
        ("missed more", "resting"),
        ("missed more", "falling"),
        ("group drop", "hall"),
        ("group drop", "ward"),
    ]
    assert report.checks[0].estimate == "0.002000"
    assert report.words == "the gate passed"
    assert report.worst_group is not None
    assert report.worst_group.of == "ward"


def test_a_model_that_loses_accuracy_fails_and_says_which_number() -> None:
    report = decide(counts(changed(c2=9_300, c3=240)), GateLimits())
    assert (report.verdict, report.may_publish) == ("failed", False)
    (failed,) = report.failed
    assert (failed.number, failed.limit) == ("accuracy drop", "0.005")
    assert float(failed.beyond) == pytest.approx(0.015, abs=1e-4)
    assert report.words.startswith("the gate failed; accuracy drop: 2 % (1.671 % to 2.329 %), at most 0.5 %")


@pytest.mark.parametrize(("cell", "value", "of"), [("c10", 300, "falling"), ("c16", 3_600, "ward")])
def test_a_class_or_a_group_that_loses_fails(cell: str, value: float, of: str) -> None:
    report = decide(counts(changed(**{cell: value})), GateLimits())
    assert report.verdict == "failed"
    assert [check.of for check in report.failed] == [of]


def test_a_small_class_may_fail_the_gate_and_need_not_pass_it() -> None:
    cells = changed(c8=60, c9=3, c10=5)
    report = decide(counts(cells), GateLimits())
    assert (report.verdict, report.checks[2].verdict) == ("passed", "too few")
    assert decide(counts(cells), GateLimits(least_examples=50)).verdict == "undecided"
    lost = decide(counts(changed(c8=60, c9=3, c10=60, c3=80, c4=20)), GateLimits())
    assert [(check.of, check.verdict) for check in lost.failed] == [("falling", "failed")]


def test_an_undecided_gate_is_closed_unless_that_was_allowed() -> None:
    report = decide(counts(deviation=200), GateLimits())
    assert (report.verdict, report.may_publish) == ("undecided", False)
    assert decide(counts(deviation=200), GateLimits(allow_undecided=True)).may_publish
    failed = decide(counts(changed(c2=9_000, c3=540)), GateLimits(allow_undecided=True))
    assert not failed.may_publish


def test_what_is_said_to_be_needed_does_settle_it() -> None:
    found = counts(deviation=40)
    limits = GateLimits()
    check = decide(found, limits).checks[0]
    assert check.verdict == "undecided"
    words = check.needs.replace(",", "").split()
    examples, deviation = float(words[1]), float(words[words.index("deviation") + 2])
    assert 10_000 < examples < 1e6
    assert 0 < deviation < 40
    more = found.scaled(examples / 10_000 * 1.001, 1.0)
    less = found.scaled(1.0, deviation / 40 * 0.99)
    assert decide(more, limits).checks[0].verdict == "passed"
    assert decide(less, limits).checks[0].verdict == "passed"
    assert decide(found.scaled(examples / 10_000 * 0.9, 1.0), limits).checks[0].verdict == "undecided"


def test_at_the_limit_no_number_of_examples_is_said_to_help() -> None:
    report = decide(counts(changed(c2=9_450, c3=80, c4=30)), GateLimits(accuracy_drop="0.005"))
    check = report.checks[0]
    assert check.verdict == "undecided"
    assert "would settle it" not in check.needs or float(check.needs.replace(",", "").split()[1]) > 1e6


def test_a_first_model_is_held_to_absolute_limits() -> None:
    cells = changed(c1=0, c3=0, c4=0, c6=0, c9=0)
    report = decide(counts(cells), GateLimits(accuracy_floor="0.9"), compared=False)
    assert (report.verdict, report.compared) == ("passed", False)
    high = decide(counts(cells), GateLimits(accuracy_floor="0.96"), compared=False)
    assert [check.words.split(":")[0] for check in high.failed] == ["accuracy"]
    assert "at least 96 %: failed" in high.words
    blind = decide(counts(changed(c10=1_900)), GateLimits(), compared=False)
    assert [(check.number, check.of) for check in blind.failed] == [("missed", "falling")]
    assert decide(counts(cells, deviation=9_000), GateLimits(), compared=False).verdict == "undecided"


def test_a_report_keeps_what_it_says_on_the_way() -> None:
    report = decide(counts(deviation=3.2), GateLimits())
    assert msgspec.json.decode(msgspec.json.encode(report), type=GateReport) == report
    assert report.deviation == 4
    assert consistent(report)


def test_a_report_with_another_verdict_than_its_numbers_is_told() -> None:
    report = decide(counts(changed(c2=9_000, c3=540)), GateLimits())
    assert consistent(report)
    assert not consistent(msgspec.structs.replace(report, verdict="passed"))
    checks = tuple(msgspec.structs.replace(check, verdict="passed") for check in report.checks)
    assert not consistent(msgspec.structs.replace(report, verdict="passed", checks=checks))


cell = st.floats(-200, 20_000)


@given(st.lists(cell, min_size=17, max_size=17), st.floats(0, 300), st.floats(1, 50), st.booleans())
@settings(max_examples=200, deadline=None)
def test_more_noise_never_decides_what_less_left_open_nor_turns_a_verdict(
    cells: list[float], deviation: float, factor: float, compared: bool
) -> None:
    quiet = decide(counts(cells, deviation), GateLimits(), compared=compared)
    loud = decide(counts(cells, deviation * factor), GateLimits(), compared=compared)
    for before, after in zip(quiet.checks, loud.checks, strict=True):
        if after.verdict in {"passed", "failed"}:
            assert after.verdict == before.verdict
        assert float(after.low) <= float(before.low) + 1e-6
        assert float(after.high) >= float(before.high) - 1e-6
    assert not (quiet.verdict == "failed" and loud.verdict == "passed")
    assert consistent(quiet)


@pytest.mark.parametrize("deviation", [0.0, 15.0, 60.0])
def test_intervals_hold_the_truth_as_often_as_they_say(deviation: float) -> None:
    """1,500 fleets from one law; the overall drop, a class's misses and a group's drop must be in 95 %."""
    rng = np.random.default_rng(7)
    both, lost, gained = 0.90, 0.02, 0.012
    share_of_class, repeats, n = 0.25, 1_500, 4_000
    hits = np.zeros(3)
    for _ in range(repeats):
        cells = rng.multinomial(n, [both, lost, gained, 1 - both - lost - gained])
        of_class = rng.binomial(cells, share_of_class)
        rest = cells - of_class
        exact = [n, cells[0] + cells[1], cells[0] + cells[2], cells[1], cells[2]]
        for some in (of_class, rest):
            exact += [some.sum(), some[2] + some[3], some[1] + some[3]]
        exact += [of_class.sum(), of_class[0] + of_class[1], of_class[0] + of_class[2]]
        noisy = np.array(exact, float) + rng.normal(0, deviation, len(exact))
        report = decide(counts_of(noisy.tolist(), ("a", "b"), ("g",), deviation), GateLimits())
        checks = (report.checks[0], report.checks[1], report.checks[3])
        hits += [float(check.low) <= lost - gained <= float(check.high) for check in checks]
    assert (hits / repeats >= 0.94).all(), hits / repeats
