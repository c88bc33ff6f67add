"""All numbers of a run together."""

from dataclasses import replace
from math import nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.accounting import Skellam, epsilon
from covey.errors import InputError
from covey.noise.skellam import skellam
from covey.noise.table import LARGEST_VARIANCE
from covey.planner import Assumptions, Query, Run, design
from covey.planner.design import SAMPLER_TV

TRAIN = Query("train", 4423, 200)
RUN = Run(Assumptions(20), [TRAIN, Query("statistics", 7, 1), Query("validate", 40, 20)], epsilon=4)
SAMPLED = Query("train", 4423, 200, 0.1)
EXAMPLES = replace(RUN, unit="example", examples=500, queries=[SAMPLED, *RUN.queries[1:]])
GIVEN = Run(Assumptions(20), [TRAIN], multipliers={"train": 4.0})


@pytest.mark.parametrize("run", [RUN, EXAMPLES])
def test_a_target_is_kept_in_the_servers_view_and_with_room_in_the_other(run: Run) -> None:
    planned = design(run)
    assert planned.removal
    assert planned.release.value < planned.server.value <= 4
    assert planned.server.value > 3.999
    assert planned.sampler_delta < 1e-20


def test_given_multipliers_give_the_same_promise() -> None:
    planned = design(RUN)
    again = design(replace(RUN, epsilon=None, multipliers=planned.multipliers))
    assert (again.server, again.release, again.noise) == (planned.server, planned.release, planned.noise)


def test_the_servers_view_counts_honest_noise_only() -> None:
    planned = design(Run(Assumptions(40, 2), [Query("train", 10**4, 30)], multipliers={"train": 4.0}))
    expected = epsilon([(Skellam(1024, 10**4, 16 * 1024**2), 30)], 1e-5)
    assert planned.server == expected
    assert planned.cohort.honest == 26


def test_a_modulus_for_every_kind_holds_its_sum() -> None:
    planned = design(EXAMPLES)
    assert set(planned.bits) == set(planned.traffic) == {"train", "statistics", "validate"}
    assert all(16 <= bits <= 32 for bits in planned.bits.values())
    assert planned.bits["train"] > design(RUN).bits["train"]


def test_removal_is_left_out_where_too_many_may_drop_out() -> None:
    wide = replace(RUN, assumptions=Assumptions(200))
    assert not design(wide).removal
    assert not design(replace(RUN, removal=False)).removal
    with pytest.raises(InputError, match="turn removal off"):
        design(replace(wide, removal=True))


def test_the_bound_for_tables_holds_for_the_largest() -> None:
    assert skellam(LARGEST_VARIANCE).tv <= SAMPLER_TV * 0.5
    assert skellam(1).tv <= SAMPLER_TV * 0.5


ENDLESS = 10**400
numbers = st.one_of(st.floats(), st.integers(), st.sampled_from([ENDLESS, -ENDLESS]))
wholes = st.one_of(st.integers(), st.integers(-2, 10**6), st.sampled_from([ENDLESS, -ENDLESS]))


@given(
    st.just(20) | wholes,
    st.just(1) | wholes,
    st.just(0.3) | numbers,
    st.just(4.0) | numbers,
    st.just(64) | wholes,
    st.tuples(st.just(100) | wholes, st.just(10) | wholes, st.just(1.0) | numbers, st.just(1) | wholes),
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_asked_is_planned_or_refused(  # noqa: PLR0913, PLR0917 - the numbers of a run
    devices: int,
    corrupt: int,
    dropouts: float,
    epsilon: float,
    sensitivity: int,
    more: tuple[int, int, float, int],
) -> None:
    length, sums, rate, examples = more
    for unit in ("device", "example"):
        run = Run(
            Assumptions(devices, corrupt, dropouts),
            [Query("train", length, sums, rate)],
            unit="device" if unit == "device" else "example",
            epsilon=epsilon,
            examples=examples,
            sensitivity=sensitivity,
        )
        try:
            assert design(run).server.value <= epsilon
        except InputError as error:
            assert error.message  # noqa: PT017 - either outcome is right


@given(
    st.integers(10, 60),
    st.integers(1, 3),
    st.floats(0, 0.25),
    st.floats(0.5, 20),
    st.tuples(st.integers(1, 10**5), st.integers(1, 1000), st.floats(0.01, 1), st.integers(1, 1000)),
)
@settings(max_examples=30, deadline=None)
def test_what_is_sensible_is_planned_within_its_target(
    devices: int, corrupt: int, dropouts: float, epsilon: float, more: tuple[int, int, float, int]
) -> None:
    length, sums, rate, examples = more
    run = Run(
        Assumptions(devices, corrupt, dropouts),
        [Query("train", length, sums, rate), Query("validate", length, sums)],
        unit="example",
        epsilon=epsilon,
        examples=examples,
        sensitivity=64,
    )
    try:
        planned = design(run)
    except InputError as error:  # a thousand unsampled sums of little ε want more noise than a sampler draws
        assert "too loud for one device" in error.message  # noqa: PT017 - the one refusal that is right
        return
    assert planned.release.value <= planned.server.value <= epsilon
    assert planned.cohort.threshold <= planned.cohort.minimum <= devices


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (replace(RUN, epsilon=None), "either a target or noise multipliers"),
        (replace(RUN, multipliers={"train": 4.0}), "either a target or noise multipliers"),
        (replace(GIVEN, queries=RUN.queries), "no noise multiplier for statistics, validate"),
        (replace(GIVEN, multipliers={"train": nan}), "noise_multiplier is nan"),
        (replace(RUN, epsilon=nan), "epsilon is nan"),
        (replace(RUN, delta=nan), "delta is nan"),
        (replace(RUN, sensitivity=0), "sensitivity is 0"),
        (replace(RUN, sensitivity=1 << 40), "sensitivity is"),
        (replace(RUN, examples=5), "a device counts once"),
        (replace(EXAMPLES, examples=0), "examples is 0"),
        (replace(EXAMPLES, examples=1 << 29), "would wrap around"),
        (replace(RUN, epsilon=0.02), "raise epsilon"),
        (replace(RUN, epsilon=0.1), "lower sensitivity to 128"),
    ],
)
def test_runs_that_cannot_be_planned_are_refused_with_a_next_step(run: Run, message: str) -> None:
    with pytest.raises(InputError) as caught:
        design(run)
    assert message in str(caught.value)
    assert caught.value.hint
