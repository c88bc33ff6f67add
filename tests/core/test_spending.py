"""What sums cost against whom, against a second computation by dp-accounting from the same numbers."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey import spending
from covey.accounting import DiscreteGaussian, Event, MatrixGaussian
from covey.encode import Part
from covey.plan import CentralNoise, Gradient, Noise, Statistics, Train, Validate
from covey.spending import Asked, Ended, Sum, View, costliest, event, groups
from secagg_fleet import make_plan
from sum_rows import Row, abort, noise, recomputed, reserve, settle, settled

DELTA = 1e-5
VIEWS: tuple[View, ...] = get_args(View)


def asked(row: Row) -> Asked:
    noises = None if row["noise"] is None else msgspec.convert(row["noise"], Noise)
    same = ("sum", "cohort_number", "kind", "unit", "minimum", "corrupt", "norm", "sampling_rate", "masks")
    named = {name: row[name] for name in same}
    return Asked(run="run", cohort=row["asked"], length=row["elements"], noise=noises, **named)


def sums(rows: Sequence[Row]) -> list[Sum]:
    ends = {(row["sum"], row["cohort_number"]): row for row in rows if row["event"] == "settle"}
    found: list[Sum] = []
    for row in rows:
        if row["event"] == "reserve":
            end = ends.get((row["sum"], row["cohort_number"]))
            ended = None if end is None else Ended(end["devices"], end["sharing"])
            found.append((asked(row), ended))
    return found


def cost(rows: Sequence[Row], view: View) -> float:
    return costliest(groups(sums(rows), view), DELTA).value


def trained(count: int, **changes: Any) -> list[Row]:
    return [reserve(serial, **changes) for serial in range(1, count + 1)]


REMOVED = noise(removal=True)
SAMPLED: dict[str, Any] = {"unit": "example", "kind": "gradient", "sampling_rate": 0.05}
RUNS: dict[str, list[Row]] = {
    "one sum": settled(trained(1)),
    "many sums": settled(trained(100)),
    "drop-outs": settled(trained(4), devices=15),
    "the fewest": settled(trained(4), devices=14),
    "noise removed": settled(trained(3, noise=REMOVED)),
    "noise removed, drop-outs": settled(trained(3, noise=REMOVED), devices=15, sharing=18),
    "noise said to be left": settled(trained(3, noise=REMOVED), devices=17, noise_left=17),
    "some opened": [*settled(trained(2)), reserve(3), abort(reserve(3)), reserve(4)],
    "sampled": settled(trained(30, **SAMPLED), devices=16),
    "trained and held out": settled(
        [
            *trained(30, **SAMPLED),
            reserve(31, "statistics", unit="example", elements=13, noise=noise(1 << 23)),
            reserve(32, "validate", unit="example", noise=noise(1 << 19)),
        ]
    ),
    "cohorts": [
        *settled([reserve(1, cohorts=2)], 20),
        *settled([reserve(1, cohorts=2, cohort_number=1)], 14),
    ],
    "one cohort failed": [
        *settled([reserve(1, cohorts=2)], 20),
        reserve(1, cohorts=2, cohort_number=1),
        abort(reserve(1, cohort_number=1)),
    ],
    "no masks": settled(trained(3, masks="none"), devices=17),
    "no masks, noise removed": settled(trained(3, masks="none", noise=REMOVED), devices=18),
    "little noise": settled(trained(3, noise=noise(5))),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("view", VIEWS)
def test_epsilon_is_what_another_library_finds(name: str, view: View) -> None:
    assert cost(RUNS[name], view) == pytest.approx(recomputed(RUNS[name], DELTA, view), rel=1e-6)


@pytest.mark.parametrize("name", RUNS)
def test_who_knows_more_learns_no_less(name: str) -> None:
    """The server's view is before anybody is known to have been in a sum; who sees releases sees least."""
    server, told, release = (cost(RUNS[name], view) for view in VIEWS)
    assert server >= told >= release


def test_a_settled_sum_has_the_noise_of_those_who_were_in_it() -> None:
    """Each survivor but the corrupt ones adds σ²/h."""
    (one, other) = (event(*sums(settled(trained(1), devices))[0], "settled") for devices in (20, 14))
    share = -(-(1 << 20) // 13)
    assert (variance(one), variance(other)) == (19 * share, 13 * share)


def variance(of: Event) -> int:
    assert not isinstance(of, DiscreteGaussian)
    return of.variance


def test_an_unopened_sum_counts_as_the_smallest_that_could_have_been() -> None:
    for rows in (trained(1), [*trained(1), abort(reserve(1))]):
        assert {variance(event(*sums(rows)[0], view)) for view in VIEWS} == {1 << 20}


def test_where_noise_is_taken_off_nothing_is_given_back() -> None:
    """However many stayed: what is left is σ² and no more."""
    for devices in (14, 17, 20):
        rows = settled(trained(1, noise=REMOVED), devices)
        assert variance(event(*sums(rows)[0], "settled")) == 1 << 20


def test_noise_that_only_the_server_says_is_left_is_not_counted() -> None:
    assert {field.name for field in fields(Ended)} == {"devices", "sharing"}


def test_the_cohort_that_opened_fewest_counts() -> None:
    assert cost(RUNS["cohorts"], "settled") == cost(settled(trained(1), 14), "settled")
    assert cost(RUNS["one cohort failed"], "settled") == cost(trained(1), "settled")
    order = [*RUNS["cohorts"][2:], *RUNS["cohorts"][:2]]
    assert cost(order, "settled") == cost(RUNS["cohorts"], "settled")


def test_the_same_serial_in_two_runs_is_two_sums() -> None:
    (one,) = sums(trained(1))
    other = replace(one[0], run="other"), None
    assert [count for ((_, count),) in [groups([one, other], "server")[0]]] == [2]


def test_held_out_examples_stand_apart_for_the_unit_example_only() -> None:
    both = [*settled(trained(1)), *settled([reserve(2, "validate")])]
    assert len(groups(sums(both), "settled")) == 1
    examples = [row | {"unit": "example"} for row in both if row["event"] == "reserve"]
    assert len(groups(sums(examples), "settled")) == 2
    statistics = [row | {"kind": "statistics"} for row in examples]
    assert len(groups(sums(statistics), "settled")) == 1


def test_discrete_gaussians_count_by_contributors() -> None:
    dgauss = {"mechanism": "discrete-gaussian", "variance": 1 << 20, "removal": False, "seeded": False}
    (sum_,) = sums(settled(trained(1, noise=dgauss), 18))
    counts = {view: event(*sum_, view) for view in VIEWS}
    assert all(isinstance(each, DiscreteGaussian) for each in counts.values())
    numbers = {view: each.contributors for view, each in counts.items() if isinstance(each, DiscreteGaussian)}
    assert numbers == {"server": 13, "settled": 17, "release": 18}
    assert cost(settled(trained(1, noise=dgauss), 18), "settled") < cost(trained(1, noise=dgauss), "settled")


def test_a_sum_without_noise_costs_what_cannot_be_said() -> None:
    (sum_,) = sums(settled(trained(1, noise=None)))
    for view in VIEWS:
        with pytest.raises(ValueError, match="no cost that is finite"):
            event(*sum_, view)
    found = spending.spent([sum_], DELTA)
    assert (found.server, found.release) == (None, None)


def test_what_is_asked_follows_from_the_plan_alone() -> None:
    noises = Noise(mechanism="skellam", variance=77, removal=True, seeded=True)
    plan = msgspec.structs.replace(
        make_plan(noise=noises, serial=5), cohorts=2, cohort_number=1, parts=(Part("v", 9, 1.0, 100.0),)
    )
    found = Asked.of(plan)
    assert found == Asked("run", 5, 1, "validate", "device", 12, 8, 1, 9, 1000, 1.0, "on", noises)
    kinds = {
        "train": Train(1, 8, 0.1, 0.0, 0.0, 0.0, "devices", 1, 1.0),
        "gradient": Gradient(0.25, 0, 1.0, 0.1, 10.0, 64),
        "validate": Validate(1),
        "statistics": Statistics(1),
    }
    for kind, task in kinds.items():
        found = Asked.of(msgspec.structs.replace(plan, task=task))
        assert (found.kind, found.sampling_rate) == (kind, 0.25 if kind == "gradient" else 1.0)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.sampled_from(["train", "validate", "statistics"]),
            st.sampled_from(["device", "example"]),
            st.none() | st.tuples(st.integers(14, 20), st.integers(0, 3)),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_run_costs_what_another_library_finds(drawn: list[tuple[int, str, str, Any, bool]]) -> None:
    rows: list[Row] = []
    unit = drawn[0][2]
    for serial, (loudness, kind, _, end, removal) in enumerate(drawn, start=1):
        row = reserve(serial, kind, unit=unit, noise=noise(1 << (18 + loudness), removal=removal))
        rows.append(row)
        if end is not None:
            devices, gone = end
            sharing = min(20, devices + gone)
            rows.append(settle(row, devices, sharing=sharing))
    for view in VIEWS:
        assert cost(rows, view) == pytest.approx(recomputed(rows, DELTA, view), rel=1e-6)


CENTRAL = CentralNoise(variance=1 << 24, bands=4, separation=5, seeded=False)


def central(rounds: Sequence[int], **changes: Any) -> list[Sum]:
    """Training sums of some rounds, to which the server adds noise."""
    terms = msgspec.structs.replace(CENTRAL, **changes)
    base = asked(reserve(1, noise=None))
    return [(replace(base, sum=n, round=number, central=terms), None) for n, number in enumerate(rounds)]


def test_rounds_that_share_noise_are_one_mechanism() -> None:
    base = asked(reserve(1, noise=None))
    (group,) = groups(central(range(1, 13)), "release")
    assert group == [(MatrixGaussian(base.norm, base.length, 1 << 24, 4, 12, 5, 0), 1)]


def test_a_round_that_was_asked_again_counts_beside() -> None:
    (group,) = groups(central([1, 2, 3, 3, 4, 4]), "release")
    ((found, count),) = group
    assert isinstance(found, MatrixGaussian)
    assert (found.steps, found.repeats, count) == (4, 2, 1)


def test_independent_noise_of_the_servers_counts_sum_by_sum() -> None:
    base = asked(reserve(1, noise=None))
    (group,) = groups(central([1, 2, 2], bands=1, separation=1), "release")
    assert group == [(MatrixGaussian(base.norm, base.length, 1 << 24), 3)]


def test_against_a_server_that_adds_the_noise_nothing_is_said() -> None:
    found = spending.spent(central(range(1, 4)), DELTA)
    assert found.server is None
    assert found.release is not None
    for view in ("server", "settled"):
        with pytest.raises(ValueError, match="no cost that is finite"):
            groups(central([1]), view)


def test_correlated_noise_beside_noise_of_devices_is_added_up() -> None:
    both = [*central(range(1, 4)), (asked(reserve(9)), None)]
    apart = [spending.spent(each, DELTA).release for each in (both[:3], both[3:], both)]
    values = [each.value for each in apart if each is not None]
    assert max(values[:2]) < values[2] < sum(values[:2])
    assert spending.spent(both, DELTA).server is None
