import msgspec
import pytest

from covey.plan import Noise, Plan, Statistics
from covey.seeds import key
from covey_client.seeds import KEY_BYTES, Seeds, SimulatedSeeds, SystemSeeds
from digits_fleet import VALIDATE, plan_of, question

QUIET = plan_of(question(VALIDATE, [2, 3]))
SECRET = Noise(mechanism="skellam", variance=9, removal=False, seeded=False)
SEEDED = msgspec.structs.replace(SECRET, seeded=True)
SIMULATED = SimulatedSeeds(7)


def with_noise(noise: Noise | None) -> Plan:
    return msgspec.structs.replace(QUIET, noise=noise)


def drawn(seeds: Seeds, plan: Plan) -> tuple[bytes, bytes]:
    return seeds.noise(plan), seeds.coins(plan)


@pytest.mark.parametrize("noise", [None, SECRET, SEEDED], ids=["none", "secret", "seeded"])
def test_a_fleets_device_never_repeats_itself(noise: Noise | None) -> None:
    plan = with_noise(noise)
    found = [each for _ in range(8) for each in (*drawn(SystemSeeds(), plan), SystemSeeds().session())]
    assert len(set(found)) == len(found)
    assert {len(each) for each in found} == {KEY_BYTES}


@pytest.mark.parametrize("noise", [None, SEEDED], ids=["none", "seeded"])
def test_a_simulation_repeats_what_nothing_is_claimed_for(noise: Noise | None) -> None:
    plan = with_noise(noise)
    assert drawn(SIMULATED, plan) == (
        key(7, "noise", plan.round, "validate"),
        key(7, "coins", plan.round, "validate"),
    )
    assert len({*drawn(SIMULATED, plan), *drawn(SimulatedSeeds(8), plan)}) == 4


def test_a_simulation_that_claims_privacy_draws_as_a_fleet_does() -> None:
    first, second = (drawn(SIMULATED, with_noise(SECRET)) for _ in range(2))
    assert len({*first, *second}) == 4


def test_a_session_is_never_repeated() -> None:
    assert SIMULATED.session() != SIMULATED.session()


def test_a_round_asked_again_under_another_number_is_the_same() -> None:
    again = msgspec.structs.replace(QUIET, sum=QUIET.sum + 5)
    assert drawn(SIMULATED, again) == drawn(SIMULATED, QUIET)


def test_rounds_and_kinds_are_told_apart() -> None:
    others = [
        msgspec.structs.replace(QUIET, round=QUIET.round + 1),
        msgspec.structs.replace(QUIET, task=Statistics(9)),
    ]
    assert len({each for plan in (QUIET, *others) for each in drawn(SIMULATED, plan)}) == 6
