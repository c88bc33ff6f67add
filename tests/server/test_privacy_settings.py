"""From a [privacy] table to what protects the sums."""

from typing import Any

import pytest

from covey.accounting import Skellam, epsilon
from covey.errors import ConfigError, CoveyError, InputError
from covey.plan import Gradient, Masks
from covey.planner.noise import total_variance
from covey_io.settings import convert
from covey_models.observing import count
from covey_models.ranges import BINS
from covey_models.zoo.digits import MODEL
from covey_server.privacy import multipliers, protection, queries, validations
from covey_server.settings import FederationFile, PrivacySettings, train_task
from digits_fleet import operator

Z = {
    "train_multiplier": 3.0,
    "statistics_multiplier": 4.0,
    "validate_multiplier": 5.0,
    "calibrate_multiplier": 6.0,
}
STEPS = {"gradient_clip": 1.0, "expected_batch": 100.0, "sampling_rate": 0.1}


def file(**tables: Any) -> FederationFile:
    plain: dict[str, Any] = {"name": "a", "model": {"name": "digits"}, "federation": {"rounds": 20}}
    for table, values in tables.items():
        plain[table] = plain.get(table, {}) | values
    return convert(plain, FederationFile, "a.toml")


def server_epsilon(decided: FederationFile) -> float:
    """ε of a run that nothing stops, by kinds that add up or, for the unit example, stand apart."""
    found = multipliers(decided, MODEL)
    sensitivity = decided.privacy.sensitivity
    events = {
        query.kind: (
            Skellam(
                sensitivity, query.length, total_variance(found[query.kind], sensitivity), query.sampling_rate
            ),
            query.sums,
        )
        for query in queries(decided, MODEL)
    }
    both = [events[kind] for kind in ("health",) if kind in events]
    apart = [events.pop("validate"), *both] if decided.privacy.unit == "example" else []
    groups = [group for group in (list(events.values()), apart) if group]
    return max(epsilon(group, decided.privacy.delta).value for group in groups)


@pytest.mark.parametrize(
    "tables",
    [
        {"privacy": {"epsilon": 8.0}},
        {"privacy": {"epsilon": 1.0, "delta": 1e-6}},
        {"privacy": {"epsilon": 4.0}, "federation": {"standardise": False, "validate_every": 100}},
        {"privacy": {"epsilon": 4.0, "unit": "example"}, "training": STEPS},
        {"privacy": {"epsilon": 4.0, "unit": "example"}, "training": STEPS | {"sampling_rate": 1.0}},
        {"privacy": {"epsilon": 8.0, "sensitivity": 4096}, "federation": {"devices_per_round": 10}},
        {"privacy": {"epsilon": 8.0, "health_share": 0.5}, "release": {"health_sums": 4, "gate": True}},
        {
            "privacy": {"epsilon": 4.0, "unit": "example", "health_share": 0.3},
            "training": STEPS,
            "release": {"health_sums": 2, "gate": True},
        },
    ],
)
def test_a_target_is_kept_and_nearly_used_up(tables: dict[str, Any]) -> None:
    decided = file(**tables)
    found = server_epsilon(decided)
    assert 0.98 * tables["privacy"]["epsilon"] < found <= tables["privacy"]["epsilon"]


def test_multipliers_that_are_given_are_taken() -> None:
    assert multipliers(file(privacy=Z), MODEL) == {
        "train": 3.0,
        "statistics": 4.0,
        "validate": 5.0,
        "calibrate": 6.0,
    }


def test_kinds_that_are_never_asked_have_none() -> None:
    decided = file(privacy=Z, federation={"standardise": False}, release={"calibration": "public"})
    assert multipliers(decided, MODEL) == {"train": 3.0, "validate": 5.0}


def test_without_noise_there_are_none_whatever_else_is_said() -> None:
    assert multipliers(file(privacy={"noise": False}), MODEL) == {}
    assert multipliers(file(privacy={"noise": False, "epsilon": 3.0}), MODEL) == {}


@pytest.mark.parametrize("privacy", [{}, {"noise": True}, {"masks": False}, {"epsilon": 3.0} | Z])
def test_how_much_noise_must_be_said_and_said_once(privacy: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"\[privacy\]: epsilon: say how much noise") as caught:
        multipliers(file(privacy=privacy), MODEL)
    for choice in ("epsilon = 8", "multipliers", "noise = false"):
        assert choice in str(caught.value)


@pytest.mark.parametrize("left_out", Z)
def test_a_multiplier_that_is_missing_is_named(left_out: str) -> None:
    some = {key: value for key, value in Z.items() if key != left_out}
    with pytest.raises(ConfigError, match=rf"\[privacy\]: {left_out}: give one for each kind of sum"):
        multipliers(file(privacy=some), MODEL)


def test_a_target_that_no_noise_keeps_says_what_to_change() -> None:
    hopeless = file(privacy={"epsilon": 0.01}, federation={"rounds": 900_000, "validate_every": 1})
    for decided in (file(privacy={"epsilon": 0.0001}), hopeless):
        with pytest.raises(InputError) as caught:
            multipliers(decided, MODEL)
        assert "epsilon" in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("rounds", "every", "cohort", "expected"),
    [(20, 10, 0, 2), (20, 10, 5, 3), (25, 10, 0, 3), (3, 10, 0, 1), (3, 10, 5, 2), (4, 1, 0, 4)],
)
def test_validations_of_a_run(rounds: int, every: int, cohort: int, expected: int) -> None:
    table = {"rounds": rounds, "validate_every": every, "devices_per_round": cohort}
    assert validations(file(federation=table)) == expected


def test_what_is_asked_how_often_and_how_long_it_is() -> None:
    found = {query.kind: query for query in queries(file(), MODEL)}
    assert (found["train"].length, found["train"].sums) == (3818 + 2, 20)  # with loss and weight
    counts = 100 + 2 + 1  # confusion, examples and right, loss
    assert (found["validate"].length, found["validate"].sums) == (counts, 2)
    assert (found["statistics"].length, found["statistics"].sums) == (3, 1)
    places = count(MODEL.build(), MODEL.input_shape)
    assert (found["calibrate"].length, found["calibrate"].sums) == (places * 2 * BINS, 1)
    assert "health" not in found
    assert {query.sampling_rate for query in found.values()} == {1.0}


def test_a_comparison_is_one_more_validation() -> None:
    release = {"gate": True, "groups": ["left", "right"], "health_sums": 5}
    found = {query.kind: query for query in queries(file(release=release), MODEL)}
    assert (found["validate"].length, found["validate"].sums) == (100 + 2 + 1, 3)
    assert (found["health"].length, found["health"].sums) == (8 * 2, 5)


def test_steps_are_sampled_and_carry_no_weight() -> None:
    found = {query.kind: query for query in queries(file(privacy={"unit": "example"}, training=STEPS), MODEL)}
    assert (found["train"].length, found["train"].sampling_rate) == (3818 + 1, 0.1)
    assert found["validate"].sampling_rate == 1.0


@pytest.mark.parametrize("key", ["gradient_clip", "expected_batch"])
def test_a_number_that_steps_need_is_named(key: str) -> None:
    training = {name: value for name, value in STEPS.items() if name != key}
    with pytest.raises(ConfigError, match=rf"\[training\]: {key}: "):
        train_task(file(privacy={"unit": "example"}, training=training), 1)


def test_a_step_says_what_the_file_says() -> None:
    decided = file(
        privacy={"unit": "example"},
        training=STEPS | {"learning_rate": 0.8, "schedule": "cosine", "augmentations": 4},
        federation={"rounds": 4, "examples_cap": 77},
    )
    assert train_task(decided, 3) == Gradient(
        sampling_rate=0.1,
        augmentations=4,
        gradient_clip=1.0,
        learning_rate=pytest.approx(0.4),  # type: ignore[arg-type]
        expected_batch=100.0,
        examples_cap=77,
    )


@pytest.mark.parametrize(("masks", "named"), [(True, "on"), (False, "none"), ("elided", "elided")])
@pytest.mark.parametrize("seeded", [True, False])
def test_everything_that_was_decided_reaches_the_plans(
    masks: bool | str, named: Masks, *, seeded: bool
) -> None:
    table = {
        "masks": masks,
        "corrupt": 2,
        "profile": "semi-honest-server",
        "cipher": "aes-256-ctr",
        "sensitivity": 2048,
        "remove_excess": False,
        "largest_cohort": 600,
    }
    trusted = operator([2, 3])
    found = protection(file(privacy=table | Z), MODEL, trusted, seeded=seeded)
    assert (found.masks, found.unit, found.corrupt, found.profile) == (
        named,
        "device",
        2,
        "semi-honest-server",
    )
    assert (found.cipher, found.sensitivity, found.removal) == ("aes-256-ctr", 2048, False)
    assert (found.largest, found.seeded) == (600, seeded)
    assert found.operator == (trusted if masks is True else None)
    assert found.multipliers == {"train": 3.0, "statistics": 4.0, "validate": 5.0, "calibrate": 6.0}


def test_masks_and_noise_are_on_unless_told_otherwise() -> None:
    assert (PrivacySettings().masks, PrivacySettings().noise) == (True, True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("masks", "off"),
        ("masks", 1),
        ("noise", "elided"),
        ("unit", "person"),
        ("epsilon", 0),
        ("epsilon", -1.0),
        ("delta", 0.0),
        ("delta", 1.0),
        ("train_multiplier", 0),
        ("train_multiplier", float("nan")),
        ("corrupt", 0),
        ("dropouts", -0.1),
        ("dropouts", 0.95),
        ("profile", "honest"),
        ("cipher", "rot13"),
        ("sensitivity", 63),
        ("sensitivity", 1 << 21),
        ("largest_cohort", 1),
        ("largest_cohort", 10_001),
        ("epsilonn", 3),
    ],
)
def test_a_value_out_of_range_is_named(key: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        file(privacy={key: value})
    assert caught.value.key == f"privacy.{key}"


def test_every_refusal_is_one_that_a_command_shows() -> None:
    for privacy in ({}, {"epsilon": 1e-9}, {"train_multiplier": 1.0}):
        with pytest.raises(CoveyError):
            protection(file(privacy=privacy), MODEL, None, seeded=True)
