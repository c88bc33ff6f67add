"""The policy that a federation drafts allows all of that federation, and nothing that protects less."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import covey_simulations
from covey import budget as budgets
from covey import plan as plans
from covey.arrays import Parameters
from covey.budget import Budget
from covey.errors import ConfigError, InputError, PlanRefused
from covey.identity import public_of
from covey.ledger.checkpoint import LogTrust
from covey.ledger.note import Cosigner, Ed25519Signer, signed
from covey.plan import (
    MOST_RINGS,
    Calibrate,
    Gradient,
    Health,
    Observed,
    Plan,
    Statistics,
    Task,
    Train,
)
from covey.policy.checking import kind_of, refusals, roster_refusals
from covey.policy.linting import lint
from covey.policy.reading import parse
from covey.policy.signed import Opened, Reviewers, open_policy
from covey.policy.terms import Policy, exact
from covey_io import settings
from covey_io.settings import convert
from covey_models.model import Model
from covey_models.observing import count
from covey_models.registry import find
from covey_models.training import initial
from covey_server.policy_draft import Frame, cohorts, draft
from covey_server.privacy import protection, queries
from covey_server.settings import FederationFile, compare_task, train_task, validate_task
from covey_simulations.settings import SimulationFile
from covey_strategies.asking import Asking
from covey_strategies.protection import Protection
from digits_fleet import ENROLMENT, MemoryBook, grid_of, operator

LOG = Ed25519Signer("covey/lab", bytes(range(32)))
REVIEWER = Ed25519Signer("reviewer", bytes(range(1, 33)))
SECOND = Ed25519Signer("second", bytes(range(2, 34)))
WITNESSES = tuple(Cosigner(f"w{number}", bytes([number] * 32), 1).verifier for number in (1, 2))
NOW = 1_800_000_000

STEPS = {"gradient_clip": 1.5, "expected_batch": 100.0, "sampling_rate": 0.1}
Z = {
    "train_multiplier": 3.0,
    "statistics_multiplier": 4.5,
    "validate_multiplier": 5.0625,
    "calibrate_multiplier": 6.0,
}


def file_of(**tables: Any) -> FederationFile:
    plain: dict[str, Any] = {
        "name": "a",
        "model": {"name": "digits"},
        "federation": {"rounds": 3, "validate_every": 2},
    }
    for table, values in tables.items():
        plain[table] = plain.get(table, {}) | values
    return convert(plain, FederationFile, "a.toml")


@dataclass(frozen=True)
class Drafted:
    """A federation, and the policy that it drafts, signed."""

    file: FederationFile
    protected: Protection
    devices: int
    text: str
    opened: Opened

    @property
    def policy(self) -> Policy:
        """As read."""
        return self.opened.policy

    def plans(self) -> Iterator[Plan]:
        """Every plan that a run without a crash asks, in order."""
        model, file = find(self.file.model.name), self.file
        federation = file.federation
        asking = Asking(
            run="run",
            model=model,
            seed=1,
            minimum=federation.minimum_devices,
            size=federation.devices_per_round,
            preprocessing=None,
            protection=self.protected,
            book=MemoryBook(),
            timeout=1.0,
            dropouts=file.privacy.dropouts,
        )
        nodes, parameters, grid = list(range(2, self.devices + 2)), initial(model, 0), grid_of({})
        some = nodes[: federation.devices_per_round or len(nodes)]
        if federation.standardise:
            yield from _asked(asking.question(grid, 0, Statistics(federation.examples_cap), parameters, some))
        for server_round in range(1, federation.rounds + 1):
            yield from _asked(
                asking.question(grid, server_round, train_task(file, server_round), parameters, some)
            )
            if server_round % federation.validate_every == 0 or server_round == federation.rounds:
                yield from _asked(asking.question(grid, server_round, validate_task(file), parameters, some))
        everyone = replace(asking, size=0, minimum=0) if federation.devices_per_round else asking
        if federation.devices_per_round:
            yield from _asked(
                everyone.question(grid, federation.rounds, validate_task(file), parameters, nodes)
            )
        for task, with_it in _around_release(file, model):
            yield from _asked(everyone.question(grid, federation.rounds, task, with_it, nodes))

    def refused(self, plan: Plan) -> list[str]:
        """Why devices refuse a plan."""
        return list(refusals(plan, self.policy, self.opened.sha256))


def _around_release(file: FederationFile, model: Model) -> Iterator[tuple[Task, Parameters]]:
    """What is asked once training is done."""
    if file.release.calibration == "private":
        of = count(model.build(), model.input_shape)
        places = tuple(Observed(each, 1.0) for each in range(of))
        task = Calibrate(places, of, file.federation.examples_cap)
        yield task, initial(model, 0)
    if file.release.gate:
        yield compare_task(file), {}
    for number in range(file.release.health_sums):
        yield Health(f"r{number}", "ab" * 32, MOST_RINGS), {}


def _asked(question: Any) -> list[Plan]:
    return [exchange.plan for exchange in question.exchanges]


def frame(**changes: Any) -> Frame:
    fields: dict[str, Any] = {
        "fleet": "digits",
        "purpose": "Read digits that people wrote by hand.",
        "operator": public_of(operator([]).private).hex(),
        "enrolment": public_of(ENROLMENT).hex(),
        "log": LogTrust("covey/lab", LOG.verifier, WITNESSES, 1),
        "valid_from": "2027-01-01",
        "valid_until": "2027-12-31",
    }
    return Frame(**(fields | changes))


def drafted(file: FederationFile, devices: int = 20, **changes: Any) -> Drafted:
    model, trusted = find(file.model.name), operator(range(2, devices + 2), simulation=False)
    seeded = changes.get("simulation", False)
    text = draft(file, model, protection(file, model, trusted, seeded=seeded), devices, frame(**changes))
    note, reviewers = signed(text, REVIEWER, SECOND), Reviewers((REVIEWER.verifier, SECOND.verifier))
    opened = open_policy(note, reviewers, blame="test")
    under = replace(trusted, policy=opened, policy_sent=text.encode())
    return Drafted(file, protection(file, model, under, seeded=seeded), devices, text, opened)


def demo() -> FederationFile:
    path = Path(covey_simulations.__file__).with_name("demo.toml")
    found = msgspec.to_builtins(settings.load(path, SimulationFile))
    return convert({key: found[key] for key in FederationFile.__struct_fields__}, FederationFile, "demo")


FEDERATIONS: dict[str, tuple[FederationFile, int]] = {
    "demo": (demo(), 20),
    "epsilon": (file_of(privacy={"epsilon": 8.0}), 20),
    "multipliers": (file_of(privacy=Z), 20),
    "long multipliers": (
        file_of(
            privacy={
                "train_multiplier": 12.345678901234567,
                "statistics_multiplier": 1 / 3,
                "validate_multiplier": 20.1,
                "calibrate_multiplier": 20.1,
            }
        ),
        20,
    ),
    "no statistics": (file_of(privacy={"epsilon": 4.0}, federation={"standardise": False}), 20),
    "example": (file_of(privacy={"epsilon": 4.0, "unit": "example"}, training=STEPS), 20),
    "example, all join": (
        file_of(privacy={"epsilon": 50.0, "unit": "example"}, training=STEPS | {"sampling_rate": 1.0}),
        20,
    ),
    "odd rate": (
        file_of(privacy={"epsilon": 4.0, "unit": "example"}, training=STEPS | {"sampling_rate": 1 / 30}),
        20,
    ),
    "a small delta": (file_of(privacy={"epsilon": 2.0, "delta": 1.25e-9}), 20),
    "odd clips": (
        file_of(privacy={"epsilon": 8.0}, federation={"update_clip": 0.1 + 0.2, "examples_cap": 37}),
        20,
    ),
    "a minimum": (file_of(privacy={"epsilon": 8.0}, federation={"minimum_devices": 15}), 20),
    "a cohort": (file_of(privacy={"epsilon": 8.0}, federation={"devices_per_round": 12}), 30),
    "a cohort with a minimum": (
        file_of(privacy={"epsilon": 8.0}, federation={"devices_per_round": 12, "minimum_devices": 11}),
        40,
    ),
    "divided": (file_of(privacy={"epsilon": 8.0, "largest_cohort": 19}), 47),
    "divided unevenly": (file_of(privacy={"epsilon": 8.0, "largest_cohort": 25}), 51),
    "divided at the end only": (
        file_of(privacy={"epsilon": 8.0, "largest_cohort": 20}, federation={"devices_per_round": 15}),
        50,
    ),
    "more collude": (file_of(privacy={"epsilon": 8.0, "corrupt": 3, "dropouts": 0.1}), 30),
    "all noise stays": (file_of(privacy={"epsilon": 8.0, "remove_excess": False}), 20),
    "fine": (file_of(privacy={"epsilon": 8.0, "sensitivity": 4097}), 20),
    "released": (
        file_of(
            privacy={"epsilon": 8.0, "health_share": 0.4},
            release={"gate": True, "groups": ["left", "right"], "health_sums": 3},
        ),
        20,
    ),
    "released, example": (
        file_of(
            privacy={"epsilon": 8.0, "unit": "example"},
            training=STEPS,
            release={"gate": True, "health_sums": 2},
        ),
        20,
    ),
    "not calibrated": (file_of(privacy={"epsilon": 8.0}, release={"calibration": "public"}), 20),
    "many": (file_of(privacy={"epsilon": 8.0, "profile": "semi-honest-server", "largest_cohort": 700}), 700),
}


@pytest.fixture(scope="module", params=FEDERATIONS)
def made(request: pytest.FixtureRequest) -> Drafted:
    return drafted(*FEDERATIONS[request.param])


class TestEveryFederation:
    def test_the_policy_can_be_read_and_a_reviewer_has_nothing_to_correct(self, made: Drafted) -> None:
        assert parse(made.text, "a.toml") == made.policy
        assert not [each for each in lint(made.policy, NOW) if each.severity == "error"]

    def test_all_that_is_asked_is_allowed(self, made: Drafted) -> None:
        asked = list(made.plans())
        assert {kind_of(plan) for plan in asked} == set(made.policy.queries)
        assert not [reason for plan in asked for reason in made.refused(plan)]
        assert not list(roster_refusals(_roster(made), made.policy))

    def test_one_step_less_noise_is_refused(self, made: Drafted) -> None:
        for plan in made.plans():
            assert plan.noise
            less = msgspec.structs.replace(plan.noise, variance=plan.noise.variance - 1)
            (reason,) = made.refused(msgspec.structs.replace(plan, noise=less))
            assert "less than the policy's noise multiplier" in reason

    def test_a_sum_of_one_device_less_is_refused(self, made: Drafted) -> None:
        fewest = min(plan.minimum for plan in made.plans())
        for plan in made.plans():
            reasons = made.refused(msgspec.structs.replace(plan, minimum=plan.minimum - 1))
            if plan.minimum == fewest:
                assert "the policy asks" in " ".join(reasons)
            # one share of drop-outs is for sums of every size: it is as small as one of them lets it be
            elif plan.cohort - plan.minimum == floor(exact(made.policy.assumptions.dropouts) * plan.cohort):
                assert "devices are missing" in " ".join(reasons)
            else:
                assert made.file.federation.devices_per_round
        less = exact(made.policy.assumptions.dropouts) - Fraction(1, 10_000)
        assert any(plan.cohort - plan.minimum > floor(less * plan.cohort) for plan in made.plans())

    def test_a_heavier_row_is_refused(self, made: Drafted) -> None:
        for plan in (each for each in made.plans() if not isinstance(each.task, Health)):
            assert any("lets a row weigh" in reason for reason in made.refused(_heavier(plan)))

    def test_nothing_else_may_be_otherwise(self, made: Drafted) -> None:
        plan = next(each for each in made.plans() if each.sum == 1)
        assert plan.noise
        for changes in (
            {"corrupt": plan.corrupt + 1},
            {"model": "another"},
            {"unit": "example" if plan.unit == "device" else "device"},
            {"noise": None},
            {"noise": msgspec.structs.replace(plan.noise, seeded=True)},
            {"policy": None},
        ):
            assert made.refused(msgspec.structs.replace(plan, **changes)), changes

    def test_a_device_has_budget_for_the_whole_run_and_for_no_answer_more(self, made: Drafted) -> None:
        own = list(_of_one_device(made))
        for number, (plan, _) in enumerate(own):
            with pytest.raises(PlanRefused, match=r"budget: \d+ answers"):  # any one of them, once more
                _answered(made, [*own, (msgspec.structs.replace(plan, sum=999), f"{number:064x}")])
        spent = budgets.spent(_answered(made, own), float(exact(made.policy.budget.delta)))
        assert 0.9 * float(exact(made.policy.budget.epsilon)) < spent

    def test_answers_are_those_of_a_run(self, made: Drafted) -> None:
        model = find(made.file.model.name)
        assert {kind: query.answers for kind, query in made.policy.queries.items()} == {
            query.kind: query.sums for query in queries(made.file, model)
        }
        assert made.policy.budget.answers == sum(each.answers for each in made.policy.queries.values())


def _roster(made: Drafted) -> Any:
    assert made.protected.operator
    return made.protected.operator.roster


def _heavier(plan: Plan) -> Plan:
    match plan.task:
        case Train():
            task: Any = msgspec.structs.replace(plan.task, update_clip=plan.task.update_clip * 1.001)
        case Gradient():
            task = msgspec.structs.replace(plan.task, gradient_clip=plan.task.gradient_clip * 1.001)
        case _:
            task = msgspec.structs.replace(plan.task, examples_cap=plan.task.examples_cap + 1)
    return msgspec.structs.replace(plan, task=task)


def _of_one_device(made: Drafted) -> Iterator[tuple[Plan, str]]:
    """Plans that one device answers: of each sum one cohort, the smallest, which costs most."""
    of_sum: dict[int, list[Plan]] = {}
    for plan in made.plans():
        of_sum.setdefault(plan.sum, []).append(plan)
    for cohort in of_sum.values():
        plan = min(cohort, key=lambda each: each.cohort)
        yield plan, plans.digest(plans.to_bytes(plan))


def _answered(made: Drafted, own: list[tuple[Plan, str]]) -> Budget:
    budget = Budget()
    for plan, digest in own:
        for row in budgets.reserve(budget, plan, digest, made.opened, NOW):
            budget = budgets.after(budget, row)
    return budget


@pytest.mark.parametrize("name", ["demo", "epsilon", "multipliers", "example"])
def test_spare_sums_are_allowed_and_paid(name: str) -> None:
    file, devices = FEDERATIONS[name]
    bare, made = drafted(file, devices), drafted(file, devices, spare=3)
    for kind, query in made.policy.queries.items():
        assert query.answers == bare.policy.queries[kind].answers + 3
        assert query.noise_multiplier == bare.policy.queries[kind].noise_multiplier
    assert made.policy.budget.answers == bare.policy.budget.answers + 3 * len(bare.policy.queries)
    assert exact(made.policy.budget.epsilon) > exact(bare.policy.budget.epsilon)
    own = list(_of_one_device(made))
    last = {kind_of(plan): plan for plan, _ in own}
    more = [
        (msgspec.structs.replace(plan, sum=1000 + number), hashlib.sha256(b"%d" % number).hexdigest())
        for number, plan in enumerate([plan for plan in last.values() for _ in range(3)])
    ]
    spent = budgets.spent(_answered(made, own + more), file.privacy.delta)
    assert spent == pytest.approx(float(exact(made.policy.budget.epsilon)), abs=0.001)
    with pytest.raises(PlanRefused, match="budget"):
        _answered(bare, own + more)


@pytest.mark.parametrize("name", ["multipliers", "long multipliers"])
def test_with_multipliers_epsilon_is_what_they_cost(name: str) -> None:
    made = drafted(*FEDERATIONS[name])
    spent = budgets.spent(_answered(made, list(_of_one_device(made))), made.file.privacy.delta)
    assert 0 <= float(exact(made.policy.budget.epsilon)) - spent <= 0.001


@pytest.mark.parametrize("name", ["divided", "divided unevenly", "divided at the end only", "many"])
def test_every_size_of_a_divided_fleet_is_foreseen(name: str) -> None:
    file, devices = FEDERATIONS[name]
    made = drafted(file, devices)
    found = {(plan.cohort, plan.minimum) for plan in made.plans()}
    assert found == set(cohorts(file, devices, made.protected))
    assert made.policy.queries["train"].minimum == min(minimum for _, minimum in found)


class TestWords:
    @pytest.mark.parametrize(
        "words",
        [
            "It says \"yes\" \\ 'no' # and = [more]",
            "Zurück in Zürich, größer: 日本語 🦆",
            'two lines:\nthe second """',
            "x" * 4000,
            "ends in a backslash \\",
        ],
    )
    def test_a_purpose_comes_back_as_it_was_written(self, words: str) -> None:
        made = drafted(
            file_of(privacy={"epsilon": 8.0}), purpose=words, fleet=words[:100].split("\n", maxsplit=1)[0]
        )
        assert made.policy.purpose == words
        assert made.policy.fleet == words[:100].split("\n", maxsplit=1)[0]

    @given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
    def test_any_text_comes_back_or_is_refused_in_words(self, words: str) -> None:
        file = file_of(privacy=Z)
        protected = protection(file, find("digits"), operator([2]), seeded=False)
        written = frame(purpose=words, fleet=words)
        if words.isprintable():
            found = parse(draft(file, find("digits"), protected, 20, written), "a.toml")
            assert (found.purpose, found.fleet) == (words, words)
        else:
            with pytest.raises(ConfigError, match="does not show"):
                draft(file, find("digits"), protected, 20, written)

    @pytest.mark.parametrize("fleet", ["", "x" * 129])
    def test_a_name_of_no_or_too_great_length_is_named(self, fleet: str) -> None:
        with pytest.raises(ConfigError, match="the drafted policy: fleet"):
            drafted(file_of(privacy=Z), fleet=fleet)

    def test_a_limit_of_the_rate_is_for_every_kind(self) -> None:
        made = drafted(file_of(privacy=Z), rate_limit="24 per day")
        assert {query.rate_limit for query in made.policy.queries.values()} == {"24 per day"}
        with pytest.raises(ConfigError, match="rate_limit"):
            drafted(file_of(privacy=Z), rate_limit="often")

    def test_a_next_policy_names_the_one_before(self) -> None:
        first = drafted(file_of(privacy=Z))
        second = drafted(file_of(privacy=Z), serial=2, previous=first.opened.sha256, signatures=2)
        assert (second.policy.serial, second.policy.previous) == (2, first.opened.sha256)
        assert second.policy.signatures == 2
        with pytest.raises(ConfigError, match="previous"):
            drafted(file_of(privacy=Z), serial=2)

    def test_keys_log_and_witnesses_are_those_that_were_given(self) -> None:
        made = drafted(file_of(privacy=Z))
        assert made.policy.log_trust() == frame().log
        assert made.policy.keys.operator == frame().operator
        assert made.policy.keys.enrolment == frame().enrolment


def test_a_simulation_may_seed_its_noise() -> None:
    made = drafted(file_of(privacy=Z), simulation=True)
    assert made.policy.simulation
    assert all(plan.noise and plan.noise.seeded for plan in made.plans())
    assert not [reason for plan in made.plans() for reason in made.refused(plan)]
    assert list(roster_refusals(_roster(made), made.policy))  # the test's roster is of real devices


@pytest.mark.parametrize(
    ("privacy", "said"),
    [
        ({"noise": False}, "without noise has no policy"),
        (Z | {"masks": False}, "without masks has no policy"),
        (Z | {"masks": "elided"}, "without masks has no policy"),
        (dict.fromkeys(Z, 0.01), "no policy promises more than 1000"),
    ],
)
def test_where_nothing_could_be_promised_there_is_no_draft(privacy: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        drafted(file_of(privacy=privacy))
    assert caught.value.hint
