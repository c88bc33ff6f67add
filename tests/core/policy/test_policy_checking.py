"""Every rule of a policy, with a plan that just keeps it and one that goes a step beyond."""

from typing import Any

import msgspec
import pytest

from covey import plan as plans
from covey.encode import Part
from covey.identity import Roster
from covey.plan import Gradient, Noise, Plan, PolicyReference, Statistics, Suite, Task, Train, Validate
from covey.policy.checking import kind_of, refusals, roster_refusals
from covey.policy.reading import parse
from covey.policy.terms import OPTIONS, Policy
from policy_texts import policy_text
from secagg_fleet import make_plan

SHA = "5" * 64
NORM = 1000
NOISE = Noise(mechanism="skellam", variance=36 * NORM**2, removal=False, seeded=False)
TRAIN = Train(
    epochs=1,
    batch_size=8,
    learning_rate=0.1,
    momentum=0.0,
    gradient_clip=0.0,
    proximal_mu=0.0,
    weighting="devices",
    examples_cap=100,
    update_clip=0.3,
)
GRADIENT = Gradient(
    sampling_rate=0.1,
    augmentations=0,
    gradient_clip=0.3,
    learning_rate=0.1,
    expected_batch=20.0,
    examples_cap=100,
)
EXAMPLE = {"budget__unit": "example", "queries__train__sampling_rate": "0.1"}


def under(**changes: Any) -> Policy:
    """A policy whose train query just allows `asked`."""
    return parse(
        policy_text(
            **{"queries__train__clip": "0.3", "queries__train__minimum": 9, "assumptions__dropouts": "0.25"}
            | changes
        ),
        "policy.toml",
    )


def asked(**changes: Any) -> Plan:
    """A plan of twelve devices that opens with nine, and appeals to the policy."""
    plan = msgspec.structs.replace(
        make_plan(12, minimum=9, noise=NOISE),
        task=TRAIN,
        parts=(Part("update", 5, 0.3, 3333.0),),
        policy=PolicyReference(sha256=SHA, serial=1),
    )
    return msgspec.structs.replace(plan, **changes)


def reasons(plan: Plan, policy: Policy | None = None) -> list[str]:
    return list(refusals(plan, policy or under(), SHA))


def test_a_plan_that_keeps_to_everything_is_not_refused() -> None:
    plan = asked()
    assert plans.from_bytes(plans.to_bytes(plan)) == plan
    assert reasons(plan) == []


def test_a_plan_that_names_no_policy_or_another_is_refused() -> None:
    assert reasons(asked(policy=None)) == ["the plan names no policy"]
    other = PolicyReference(sha256="6" * 64, serial=1)
    assert reasons(asked(policy=other)) == [
        "the plan appeals to policy 6666666666666666, the device's is 5555555555555555"
    ]
    newer = PolicyReference(sha256=SHA, serial=2)
    assert reasons(asked(policy=newer)) == ["the plan appeals to a policy of serial 2, the device's has 1"]


@pytest.mark.parametrize(
    ("task", "kind", "option"),
    [
        (msgspec.structs.replace(TRAIN, control_clip=0.1), "train", "control-variates"),
        (msgspec.structs.replace(TRAIN, personal=("head",)), "train", "personal-parameters"),
        (msgspec.structs.replace(TRAIN, within=True), "train", "clip-indicator"),
        (Validate(100, ("head",)), "validate", "personal-parameters"),
    ],
)
def test_what_is_asked_beside_is_refused_unless_the_policy_names_it(
    task: Task, kind: str, option: str
) -> None:
    plan = asked(task=task, noise=msgspec.structs.replace(NOISE, variance=64 * NORM**2))
    for allowed in ([], [each for each in OPTIONS if each != option]):
        policy = under(**{f"queries__{kind}__options": allowed})
        named = ", ".join(allowed) or "nothing"
        assert reasons(plan, policy) == [
            f"the plan asks for {option} beside {kind}, the policy allows {named}"
        ]
    assert reasons(plan, under(**{f"queries__{kind}__options": list(OPTIONS)})) == []


def test_answers_without_masks_are_refused() -> None:
    for masks in ("none", "elided"):
        assert reasons(asked(masks=masks, suite=None, roster=None)) == [
            "the plan asks for answers without masks"
        ]


def test_a_suite_beside_answers_in_clear_hides_nothing() -> None:
    assert reasons(asked(masks="none")) == ["the plan asks for answers without masks"]


def test_a_profile_that_the_policy_does_not_name_is_refused() -> None:
    suite = Suite(profile="semi-honest-server", cipher="chacha20", bits=32, neighbours=6, threshold=4)
    assert reasons(asked(suite=suite)) == [
        "the plan's profile is semi-honest-server, the policy allows malicious-server"
    ]
    both = under(assumptions__profiles=["malicious-server", "semi-honest-server"])
    assert reasons(asked(suite=suite), both) == []


@pytest.mark.parametrize("corrupt", [0, 2])
def test_the_number_of_corrupt_devices_is_the_policys_exactly(corrupt: int) -> None:
    assert reasons(asked(corrupt=corrupt)) == [f"the plan assumes {corrupt} corrupt devices, the policy 1"]


def test_no_more_devices_may_be_missing_than_the_policy_assumes() -> None:
    assert reasons(asked(cohort=12)) == []  # 3 of 12 are a quarter
    assert reasons(asked(cohort=13)) == [
        "the plan opens a sum when 4 of 13 devices are missing, the policy allows 3 (0.25 of them)"
    ]
    assert reasons(asked(cohort=11), under(assumptions__dropouts="0.18"))[0].endswith(
        "allows 1 (0.18 of them)"
    )
    assert reasons(asked(cohort=9), under(assumptions__dropouts="0")) == []
    # A share that no binary fraction is: three of ten are 0.3 of them, exactly.
    assert (
        reasons(asked(cohort=10, minimum=7), under(assumptions__dropouts="0.3", queries__train__minimum=7))
        == []
    )


def test_a_sum_over_fewer_answers_than_the_policy_asks_is_refused() -> None:
    assert reasons(asked(minimum=9, cohort=9), under(queries__train__minimum=9)) == []
    assert reasons(asked(minimum=9, cohort=9), under(queries__train__minimum=10)) == [
        "the plan opens a sum of 9 answers, the policy asks 10 for train"
    ]


@pytest.mark.parametrize(
    ("multiplier", "norm", "least"), [("6", 1000, 36_000_000), ("0.5", 3, 3), ("1.1", 10, 121)]
)
def test_noise_is_held_to_the_multiplier_exactly(multiplier: str, norm: int, least: int) -> None:
    policy = under(queries__train__noise_multiplier=multiplier, queries__train__clip="1000")
    parts = (Part("update", 5, 1.0, float(norm)),)

    def of(variance: int) -> list[str]:
        noise = msgspec.structs.replace(NOISE, variance=variance)
        return reasons(asked(noise=noise, norm=norm, parts=parts), policy)

    assert of(least) == []
    (told,) = of(least - 1)
    assert told.startswith(f"the plan's noise has a variance of {least - 1} for a norm of {norm}, less than")
    assert told.endswith(f"noise multiplier of {multiplier} needs")


def test_noise_is_measured_against_the_parts_where_the_norm_is_understated() -> None:
    assert len(reasons(asked(parts=(Part("update", 5, 0.3, 4000.0),)))) == 1


def test_no_noise_is_refused() -> None:
    assert reasons(asked(noise=None)) == ["the plan adds no noise"]


def test_seeded_noise_is_for_simulations() -> None:
    seeded = asked(noise=msgspec.structs.replace(NOISE, seeded=True))
    assert reasons(seeded) == ["the plan's noise comes from a seed, which only a simulation's may"]
    assert reasons(seeded, under(simulation=True)) == []


def test_a_model_that_the_policy_does_not_name_is_refused() -> None:
    assert reasons(asked(model="other")) == [
        "the plan asks about model 'other', the policy allows train of model"
    ]
    assert reasons(asked(model="other"), under(queries__train__models=["model", "other"])) == []


def test_the_clip_is_compared_as_the_decimal_that_it_prints_as() -> None:
    beyond = msgspec.structs.replace(TRAIN, update_clip=0.30000000000000004)
    assert reasons(asked(task=beyond)) == [
        "the plan lets a row weigh 0.30000000000000004, the policy allows 0.3 for train"
    ]


def test_the_part_that_carries_the_update_is_held_to_the_clip_as_well() -> None:
    parts = (Part("update", 5, 0.31, 1000.0), Part("loss", 1, 10.0, 1.0))
    assert reasons(asked(parts=parts)) == ["the plan lets a row weigh 0.31, the policy allows 0.3 for train"]


def for_examples(**changes: Any) -> Plan:
    return asked(unit="example", task=GRADIENT, parts=(Part("gradient", 5, 0.3, 3333.0),), **changes)


def test_an_examples_gradient_is_held_to_the_clip_and_its_coin_to_the_rate() -> None:
    policy = under(**EXAMPLE)
    assert reasons(for_examples(), policy) == []
    longer = msgspec.structs.replace(GRADIENT, gradient_clip=0.31)
    assert reasons(msgspec.structs.replace(for_examples(), task=longer), policy) == [
        "the plan lets a row weigh 0.31, the policy allows 0.3 for train"
    ]
    likelier = msgspec.structs.replace(GRADIENT, sampling_rate=0.11)
    assert reasons(msgspec.structs.replace(for_examples(), task=likelier), policy) == [
        "an example joins with chance 0.11, the policy allows 0.1 for train"
    ]


def test_the_unit_is_the_policys() -> None:
    told = "the plan protects one example, the policy promises it for one device"
    assert reasons(for_examples()) == [told]
    assert reasons(asked(), under(**EXAMPLE))[0] == (
        "the plan protects one device, the policy promises it for one example"
    )


@pytest.mark.parametrize(("task", "kind"), [(Validate(100), "validate"), (Statistics(100), "statistics")])
def test_counts_are_held_to_the_examples_that_count(task: Task, kind: str) -> None:
    query = {"models": ["model"], "clip": "100", "noise_multiplier": "6", "minimum": 9, "answers": 1}
    policy = under(queries={kind: query})
    assert reasons(asked(task=task), policy) == []
    more = msgspec.structs.replace(task, examples_cap=101)
    assert reasons(asked(task=more), policy) == [
        f"the plan lets a row weigh 101, the policy allows 100 for {kind}"
    ]


def test_a_kind_that_the_policy_does_not_allow_is_refused() -> None:
    assert reasons(asked(task=Statistics(1))) == [
        "the plan asks for statistics, the policy allows train, validate"
    ]
    assert reasons(asked(), under(queries={})) == ["the plan asks for train, the policy allows nothing"]


def test_an_audit_gets_every_reason() -> None:
    assert len(reasons(asked(policy=None, corrupt=3, noise=None, model="other"))) == 4


@pytest.mark.parametrize(
    ("task", "kind"),
    [(TRAIN, "train"), (GRADIENT, "train"), (Validate(1), "validate"), (Statistics(1), "statistics")],
)
def test_every_task_is_of_a_kind(task: Task, kind: str) -> None:
    assert kind_of(asked(task=task)) == kind


def test_a_roster_belongs_to_the_policys_fleet_and_is_as_real() -> None:
    policy, simulated = under(), under(simulation=True)
    real = Roster("test", 1, 10, simulation=False, certificates=())
    assert list(roster_refusals(real, policy)) == []
    assert list(roster_refusals(msgspec.structs.replace(real, fleet="b"), policy)) == [
        "the roster is of fleet 'b', the policy of 'test'"
    ]
    assert list(roster_refusals(real, simulated)) == [
        "the roster is of real devices, the policy is for a simulated fleet"
    ]
    assert list(roster_refusals(msgspec.structs.replace(real, simulation=True), policy)) == [
        "the roster is of simulated devices, the policy is for a real fleet"
    ]
