"""What a run's sums cost, against a second computation from the same rows by dp-accounting and Opacus."""

from collections.abc import Sequence
from typing import Any

import pytest

from covey.accounting import DiscreteGaussian, Epsilon, Skellam, epsilon
from covey_audit.accountants import with_opacus
from covey_server.spending import Spent, spent
from sum_rows import Row, View, abort, noise, recomputed, reserve, settle, settled

DELTA = 1e-5


def value(found: Epsilon | None) -> float:
    assert found is not None
    return found.value


def server(rows: Sequence[Row]) -> float:
    return value(spent(rows, DELTA).server)


def release(rows: Sequence[Row]) -> float:
    return value(spent(rows, DELTA).release)


def trained(count: int, **changes: Any) -> list[Row]:
    return [reserve(serial, **changes) for serial in range(1, count + 1)]


RUNS: dict[str, list[Row]] = {
    "one sum": settled(trained(1)),
    "many sums": settled(trained(200)),
    "loud noise": settled(trained(5, noise=noise(1 << 25))),
    "little noise": settled(trained(5, noise=noise(3))),
    "noise removed": settled(trained(3, noise=noise(removal=True))),
    "drop-outs": settled(trained(3, noise=noise(removal=True)), devices=15),
    "noise left": settled(trained(3, noise=noise(removal=True)), devices=17, noise_left=2),
    "fewer shared keys": settled(trained(3, noise=noise(removal=True)), devices=15, sharing=18),
    "kinds together": settled(
        [*trained(10), reserve(11, "statistics", elements=13), reserve(12, "validate", elements=50)]
    ),
    "sampled": settled(trained(50, unit="example", kind="gradient", sampling_rate=0.05)),
    "sampled and not": settled(
        [
            *trained(50, unit="example", kind="gradient", sampling_rate=0.05),
            reserve(51, "statistics", unit="example", elements=13, noise=noise(1 << 22)),
            reserve(52, "validate", unit="example"),
        ]
    ),
    "cohorts": settled(
        [reserve(1, cohorts=2, asked=10, minimum=7), reserve(1, cohorts=2, cohort_number=1, minimum=7)], 10
    ),
    "no masks": settled(trained(3, masks="none")),
    "no masks, noise removed": settled(trained(3, masks="none", noise=noise(removal=True)), devices=18),
    "never opened": [*trained(2), abort(reserve(1))],
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("view", ["server", "release"])
def test_epsilon_is_what_another_library_finds_in_the_same_rows(name: str, view: View) -> None:
    rows = RUNS[name]
    found, expected = value(getattr(spent(rows, DELTA), view)), recomputed(rows, DELTA, view)
    assert found == pytest.approx(expected, rel=1e-6)


def test_opacus_agrees_on_a_sampled_run() -> None:
    rows = trained(50, unit="example", kind="gradient", sampling_rate=0.05)
    event = Skellam(1024, 100, 1 << 20, 0.05)
    assert server(rows) == pytest.approx(with_opacus([(event, 50)], DELTA), rel=1e-4)


@pytest.mark.parametrize("name", RUNS)
def test_who_sees_only_the_release_learns_no_more_than_the_server(name: str) -> None:
    assert release(RUNS[name]) <= server(RUNS[name])


def test_a_sum_costs_what_its_own_mechanism_costs() -> None:
    expected = epsilon([(Skellam(1024, 100, 1 << 20), 3)], DELTA)
    assert spent(settled(trained(3)), DELTA).server == expected


def test_a_run_without_noise_has_no_epsilon() -> None:
    found = spent(settled(trained(2, noise=None)), DELTA)
    assert (found.server, found.release, found.simulated) == (None, None, False)


def test_one_sum_without_noise_spoils_the_run() -> None:
    found = spent([*settled(trained(2)), reserve(3, noise=None)], DELTA)
    assert (found.server, found.release) == (None, None)


@pytest.mark.parametrize("end", [abort, None])
def test_a_sum_that_was_never_opened_costs_as_much(end: Any) -> None:
    opened, last = settled(trained(3)), reserve(3)
    unopened = [*settled(trained(2)), last, *([end(last)] if end else [])]
    assert server(unopened) == server(opened)
    assert spent(unopened, DELTA).unopened == 1
    assert spent(opened, DELTA).unopened == 0
    assert release(unopened) >= release(opened)  # nothing is known of what noise there was


def test_a_sum_asked_again_is_paid_twice() -> None:
    first, again = reserve(2), reserve(3)
    crashed = [*settled([reserve(1)]), first, abort(first), *settled([again])]
    whole = settled(trained(2))
    assert server(crashed) > server(whole)
    assert server(crashed) == server(settled(trained(3)))
    assert spent(crashed, DELTA).sums == {"train": 3}


def test_of_several_cohorts_the_costliest_counts_once() -> None:
    quiet, loud = noise(1 << 18), noise(1 << 22)
    cohorts = [reserve(1, cohorts=2, noise=loud), reserve(1, cohorts=2, cohort_number=1, noise=quiet)]
    found = spent(settled(cohorts), DELTA)
    assert value(found.server) == server([reserve(1, noise=quiet)])
    assert found.sums == {"train": 1}
    assert server(settled(cohorts[::-1])) == value(found.server)


def test_in_the_release_the_cohort_with_least_noise_counts() -> None:
    cohorts = [reserve(1, cohorts=2), reserve(1, cohorts=2, cohort_number=1)]
    rows = [*cohorts, settle(cohorts[0], 20), settle(cohorts[1], 14)]
    alone = reserve(1)
    assert release(rows) == release([alone, settle(alone, 14)])


def test_held_out_examples_are_others_so_the_greater_cost_counts() -> None:
    steps = [reserve(serial, "gradient", unit="example") for serial in (1, 2, 3)]
    validated = [reserve(serial, "validate", unit="example") for serial in (4, 5)]
    assert server(steps + validated) == server(steps)
    louder = [row | {"noise": noise(1 << 16)} for row in validated]
    assert server(steps + louder) == server(louder) > server(steps)


def test_a_device_is_asked_for_all_kinds_so_they_add_up() -> None:
    steps, validated = trained(3), [reserve(4, "validate")]
    assert server(steps + validated) == server(trained(4)) > server(steps)


def test_statistics_are_of_the_examples_that_are_trained_on() -> None:
    steps = [reserve(serial, "gradient", unit="example") for serial in (1, 2)]
    assert server([*steps, reserve(3, "statistics", unit="example")]) > server(steps)


def test_only_honest_devices_noise_counts_against_the_server() -> None:
    row = reserve(1, noise=noise(mechanism="discrete-gaussian"))
    local = -(-(1 << 20) // 13)
    found = spent([row, settle(row, 18)], DELTA)
    assert found.server == epsilon([DiscreteGaussian(1024, 100, local, 13)], DELTA)
    assert found.release == epsilon([DiscreteGaussian(1024, 100, local, 18)], DELTA)


@pytest.mark.parametrize("removal", [False, True])
def test_without_masks_a_single_answers_noise_is_all_there_is_against_the_server(removal: bool) -> None:
    rows = trained(10, noise=noise(removal=removal))
    clear = [row | {"masks": "none"} for row in rows]
    elided = [row | {"masks": "elided"} for row in rows]
    own = -(-(1 << 20) // (19 if removal else 13))
    assert spent(clear, DELTA).server == epsilon([(Skellam(1024, 100, own), 10)], DELTA)
    assert server(settled(elided)) == server(settled(rows)) < server(settled(clear))
    assert release(settled(clear)) == release(settled(rows))


def test_without_masks_a_single_discrete_gaussian_is_all_there_is_against_the_server() -> None:
    row = reserve(1, noise=noise(mechanism="discrete-gaussian"), masks="none")
    local = -(-(1 << 20) // 13)
    assert spent([row], DELTA).server == epsilon([DiscreteGaussian(1024, 100, local, 1)], DELTA)


def test_noise_that_only_the_server_says_is_left_helps_nobody() -> None:
    row = reserve(1, noise=noise(removal=True))
    removed, left = ([row, settle(row, 18, count)] for count in (0, 5))
    assert server(removed) == server(left)
    assert release(left) == release(removed)


def test_without_removal_fewer_devices_leave_less_noise() -> None:
    row = reserve(1)
    assert release([row, settle(row, 14)]) > release([row, settle(row, 20)])


def test_what_is_said_beside_epsilon() -> None:
    rows = [
        *settled([reserve(1, "statistics"), reserve(2)]),
        *settled([reserve(3, cohorts=2), reserve(3, cohorts=2, cohort_number=1)]),
    ]
    found = spent(rows, 1e-6)
    assert isinstance(found, Spent)
    assert (found.unit, found.delta, found.simulated) == ("device", 1e-6, True)
    assert found.sums == {"statistics": 1, "train": 2}
    system = settled([reserve(1, noise=noise(seeded=False))])
    assert not spent(system, DELTA).simulated
    assert spent([*system, reserve(2)], DELTA).simulated  # one sum with seeded noise is enough
