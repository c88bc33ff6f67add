from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import policed_fleet
from covey import plan as plans
from covey.encode import squared_sensitivity
from covey.errors import InputError
from covey.noise.removal import LARGEST_TOLERANCE
from covey.plan import Gradient, Noise, Plan, Statistics, Suite, Task, Validate
from covey.planner.cohort import Assumptions, cohort_for, minimum_for
from covey.policy import checking
from covey_models.zoo.digits import MODEL
from covey_strategies.cohort import divide
from covey_strategies.protection import Operator, Protection, kind_of
from covey_strategies.queries.answer import parts
from digits_fleet import GRADIENT, STATISTICS, TRAIN, VALIDATE, operator, parameters
from memory_ledger import opened
from policed_fleet import policed

TRUSTED = operator(range(2, 22))
MODEL_SENT = parameters()
NOISE = {"train": 1.5, "validate": 0.5}


def bare(task: Task = TRAIN, *, cohort: int = 20, minimum: int = 14, unit: str = "device") -> Plan:
    return Plan(
        run="run",
        sum=1,
        round=1,
        model="digits",
        model_sha256="0" * 64,
        preprocessing=None,
        task=task,
        parts=(),
        unit=unit,  # type: ignore[arg-type]
        norm=1,
        cohort=cohort,
        minimum=minimum,
        masks="none",
    )


def protected(asked: Plan, **settings: Any) -> Plan:
    return Protection(**settings).protect(asked, MODEL_SENT, MODEL)


def masked(asked: Plan, **settings: Any) -> Plan:
    return protected(asked, masks="on", operator=TRUSTED, **settings)


def noise_of(plan: Plan) -> Noise:
    assert plan.noise is not None
    return plan.noise


def suite_of(plan: Plan) -> Suite:
    assert plan.suite is not None
    return plan.suite


def sound(plan: Plan) -> Plan:
    """Devices read it."""
    return plans.from_bytes(plans.to_bytes(plan))


TASKS: list[tuple[Task, str]] = [
    (TRAIN, "device"),
    (GRADIENT, "example"),
    (VALIDATE, "device"),
    (STATISTICS, "device"),
]


@st.composite
def decisions(draw: st.DrawFn) -> tuple[Plan, dict[str, Any]]:
    """A question to a cohort with a safe minimum, and what is to protect it."""
    task, unit = draw(st.sampled_from(TASKS))
    cohort = draw(st.integers(10, 500))
    least = minimum_for(cohort, 1, draw(st.floats(0, 0.3)))
    kinds = st.sampled_from(["train", "validate", "statistics"])
    return bare(task, cohort=cohort, minimum=least, unit=unit), {
        "unit": unit,
        "masks": draw(st.sampled_from(["on", "elided", "none"])),
        "multipliers": draw(st.dictionaries(kinds, st.floats(0.1, 8))),
        "sensitivity": draw(st.sampled_from([64, 1024, 1 << 11])),
        "operator": TRUSTED,
    }


@given(decisions())
def test_whatever_is_decided_devices_read_the_plan(decided: tuple[Plan, dict[str, Any]]) -> None:
    asked, settings = decided
    plan = protected(asked, **settings)
    assert sound(plan) == plan
    assert plan.parts == parts(plan, MODEL_SENT, MODEL)
    assert (plan.noise is None) == (kind_of(plan) not in settings["multipliers"])


@pytest.mark.parametrize(
    ("asked", "settings", "told"),
    [
        (bare(), {"multipliers": {"train": 2.0}, "sensitivity": 1 << 14}, "train: .* variance above"),
        (bare(Validate(1 << 31), cohort=10_000, unit="example"), {}, "validate: .* wrap around"),
    ],
    ids=["too much noise", "too many examples"],
)
def test_what_no_device_would_answer_is_not_asked(asked: Plan, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        protected(asked, masks="none", **settings)
    assert "sensitivity" in caught.value.hint


def test_without_noise_the_norm_is_as_fine_as_the_sum_allows() -> None:
    plan = protected(bare())
    assert plan.norm > 1 << 26
    assert (plan.suite, plan.noise, plan.roster, plan.masks) == (None, None, None, "none")
    assert sound(plan) == plan


def test_with_noise_the_norm_is_the_sensitivity() -> None:
    plan = masked(bare(), multipliers=NOISE, sensitivity=2048)
    assert plan.norm == 2048
    assert squared_sensitivity(plan.parts) <= 2048**2
    assert noise_of(plan).variance == 3072**2
    assert noise_of(plan).mechanism == "skellam"
    assert not noise_of(plan).seeded


def test_a_kind_without_a_multiplier_has_no_noise() -> None:
    assert masked(bare(STATISTICS), multipliers=NOISE).noise is None
    assert noise_of(masked(bare(VALIDATE), multipliers=NOISE)).variance == 512**2
    gradient = bare(GRADIENT, unit="example")
    assert noise_of(masked(gradient, multipliers=NOISE, unit="example")).variance == 1536**2


@pytest.mark.parametrize(
    ("task", "kind"),
    [(TRAIN, "train"), (GRADIENT, "train"), (VALIDATE, "validate"), (STATISTICS, "statistics")],
)
def test_kinds_as_budgets_know_them(task: Task, kind: str) -> None:
    assert kind_of(bare(task)) == kind


def test_a_masked_plan_names_the_roster_and_a_modulus_that_just_fits() -> None:
    plan = masked(bare(), multipliers=NOISE)
    assert plan.roster == TRUSTED.reference
    assert plan.roster is not None
    assert plan.roster.serial == 1
    narrower = msgspec.structs.replace(
        plan, suite=msgspec.structs.replace(suite_of(plan), bits=plan.bits - 1)
    )
    assert suite_of(plan).bits > 16
    with pytest.raises(Exception, match="wrap around"):
        sound(narrower)
    assert suite_of(masked(bare())).bits == 32


@pytest.mark.parametrize("cipher", ["chacha20", "aes-256-ctr"])
def test_the_suite_is_as_decided(cipher: str) -> None:
    suite = suite_of(masked(bare(), cipher=cipher))
    assert (suite.profile, suite.cipher, suite.neighbours, suite.threshold) == (
        "malicious-server",
        cipher,
        0,
        0,
    )


def test_a_sparse_graph_is_the_planners() -> None:
    wide = bare(VALIDATE, cohort=1000, minimum=700)
    plan = masked(wide, profile="semi-honest-server", corrupt=1, largest=10_000)
    assumed = cohort_for(Assumptions(1000, 1, minimum=700, profile="semi-honest-server"))
    assert (suite_of(plan).neighbours, suite_of(plan).threshold) == (assumed.neighbours, assumed.threshold)
    assert 0 < assumed.neighbours < 500
    assert sound(plan) == plan


def test_excess_noise_is_removed_wherever_it_can_be() -> None:
    def removal(minimum: int, decided: bool | None) -> bool:
        return noise_of(
            masked(bare(VALIDATE, cohort=60, minimum=minimum), multipliers=NOISE, removal=decided)
        ).removal

    assert LARGEST_TOLERANCE == 32
    assert [removal(60 - 29, decided) for decided in (None, True, False)] == [True, True, False]
    many = masked(bare(VALIDATE, cohort=100, minimum=60), multipliers=NOISE)
    assert not noise_of(many).removal
    assert sound(many) == many


def test_a_simulations_noise_says_so() -> None:
    assert noise_of(masked(bare(), multipliers=NOISE, seeded=True)).seeded


@pytest.mark.parametrize(
    ("cohort", "minimum", "told"),
    [(9, 8, "9 devices hide one another too little"), (501, 400, "501 devices are too many for one cohort")],
)
def test_a_cohort_that_masks_cannot_serve_is_refused(cohort: int, minimum: int, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        masked(bare(VALIDATE, cohort=cohort, minimum=minimum))
    assert caught.value.hint


@given(st.integers(10, 600), st.integers(19, 200))
def test_every_part_of_a_division_is_enough_for_masks(devices: int, largest: int) -> None:
    assert min(map(len, divide(range(devices), largest, 1, 1))) >= min(devices, 10)


def test_a_minimum_without_an_honest_majority_is_refused() -> None:
    with pytest.raises(InputError, match="minimum") as caught:
        masked(bare(minimum=10))
    assert "11" in caught.value.hint


def test_masks_want_an_operator() -> None:
    with pytest.raises(TypeError, match="without an operator's key"):
        protected(bare(), masks="on")


# -- under a policy


NODES = range(2, 22)
POLICY = policed_fleet.policy(assumptions__dropouts="0.3")
POLICED = policed(NODES, POLICY)


def under_policy(asked: Plan, **settings: Any) -> Plan:
    decided = {"multipliers": {"train": 2.0, "validate": 2.0}, "operator": POLICED, "masks": "on"}
    return protected(asked, **(decided | settings))


def test_a_plan_names_the_policy_that_it_was_made_for() -> None:
    plan = under_policy(bare())
    assert plan.policy == POLICED.policy_reference
    assert plan.policy is not None
    assert plan.policy.sha256 == opened(POLICY).sha256
    assert list(checking.refusals(plan, opened(POLICY).policy, plan.policy.sha256)) == []
    assert masked(bare()).policy is None
    assert TRUSTED.policy_reference is None


@pytest.mark.parametrize(
    ("asked", "settings", "told"),
    [
        (bare(minimum=13), {}, "train: no device will answer this: the plan opens a sum when 7 of 20"),
        (msgspec.structs.replace(bare(), corrupt=2), {}, "the plan assumes 2 corrupt devices, the policy 1"),
        (bare(), {"multipliers": {"train": 1.9}}, "less than the policy's noise multiplier of 2"),
        (bare(), {"multipliers": {}}, "the plan adds no noise"),
        (bare(), {"seeded": True}, "comes from a seed"),
        (bare(unit="example", task=GRADIENT), {"unit": "example"}, "the policy promises it for one device"),
        (bare(Validate(101)), {}, "validate: no device will answer this: the plan lets a row weigh 101"),
        (
            bare(cohort=500, minimum=400),
            {"profile": "semi-honest-server"},
            "the policy allows malicious-server",
        ),
    ],
)
def test_what_the_policy_does_not_allow_is_not_asked(
    asked: Plan, settings: dict[str, Any], told: str
) -> None:
    """It would be spent, and refused by every device."""
    with pytest.raises(InputError, match=told) as caught:
        under_policy(asked, **settings)
    assert "no device will answer this" in caught.value.message
    assert "policy" in caught.value.hint


def test_an_operators_key_is_not_shown() -> None:
    assert isinstance(TRUSTED, Operator)
    assert repr(TRUSTED.private) not in repr(TRUSTED)
    assert TRUSTED.private.hex() not in repr(Protection(operator=TRUSTED))


def test_the_task_is_not_changed() -> None:
    for task in (TRAIN, VALIDATE, Statistics(9)):
        assert protected(bare(task)).task == task
    assert isinstance(protected(bare(GRADIENT, unit="example"), unit="example").task, Gradient)
