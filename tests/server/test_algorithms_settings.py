"""What algorithms add to a federation's tasks and policy, and what does not go together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAvg

from covey.accounting import MatrixGaussian, epsilon
from covey.errors import ConfigError, InputError
from covey.identity import public_of
from covey.plan import Train
from covey.planner.noise import total_variance
from covey.policy.reading import parse
from covey_io.settings import convert
from covey_models.training import initial
from covey_models.zoo.digits import MODEL
from covey_server import algorithms
from covey_server.policy_draft import Frame, draft
from covey_server.privacy import protection, queries
from covey_server.settings import FederationFile
from covey_server.strategy_settings import StrategySettings, from_file
from covey_strategies import optimiser_state
from covey_strategies.central import Central
from covey_strategies.queries.adaptive import Clip
from covey_strategies.queries.scaffold import Control
from covey_strategies.robust import Robust
from digits_fleet import operator
from policy_texts import ENROLMENT, OPERATOR, policy_text

PARAMETERS = initial(MODEL, 0)
SIZE = sum(value.size for value in PARAMETERS.values())
HEAD = sum(value.size for name, value in PARAMETERS.items() if name.startswith("5."))
SERVER = {"noise_at": "server", "masks": "elided", "epsilon": 8.0}


def file(**tables: Any) -> FederationFile:
    plain: dict[str, Any] = {
        "name": "a",
        "model": {"name": "digits"},
        "federation": {"rounds": 20, "weighting": "devices"},
        "privacy": {},
    }
    for table, values in tables.items():
        plain[table] = plain.get(table, {}) | values
    return convert(plain, FederationFile, "a.toml")


def task(decided: FederationFile) -> Train:
    found = algorithms.first(decided, PARAMETERS)
    assert isinstance(found, Train)
    return found


def test_without_any_a_task_has_nothing_beside() -> None:
    found = task(file())
    assert (found.control_clip, found.personal, found.within) == (0.0, (), False)
    assert algorithms.beside(file()) == ()
    assert algorithms.robust(file()) is None
    assert algorithms.central(file()) is None
    assert not algorithms.is_stateful(file())
    assert not algorithms.has_no_package(file())


def test_scaffold() -> None:
    decided = file(strategy={"name": "scaffold", "control_clip": 0.5})
    assert task(decided).control_clip == 0.5
    assert algorithms.beside(decided) == (Control(),)
    assert algorithms.is_stateful(decided)
    assert not algorithms.has_no_package(decided)


def test_personal_layers() -> None:
    decided = file(strategy={"name": "fedper", "personal": ["5"]})
    assert task(decided).personal == ("5.bias", "5.weight")
    assert algorithms.validation(decided, PARAMETERS).personal == ("5.bias", "5.weight")
    assert algorithms.is_stateful(decided)
    assert "no one model" in algorithms.has_no_package(decided)
    with pytest.raises(InputError, match="no layer 'head'"):
        task(file(strategy={"name": "fedper", "personal": ["head"]}))


def test_adaptive_clipping() -> None:
    decided = file(
        privacy={"clipping": "adaptive", "clip_start": 0.3, "clip_quantile": 0.6, "clip_rate": 0.1}
    )
    assert algorithms.beside(decided) == (Clip(0.3, 0.6, 0.1, 10.0),)
    assert (task(decided).update_clip, task(decided).within) == (0.3, True)


def test_robust_rules() -> None:
    decided = file(strategy={"robust": "trimmed-mean", "trim": 0.2})
    assert algorithms.robust(decided) == Robust("trimmed-mean", 0.2)


@pytest.mark.parametrize(
    ("tables", "length"),
    [
        ({}, SIZE + 1),
        ({"strategy": {"name": "scaffold"}}, 2 * SIZE + 1),
        ({"strategy": {"name": "fedper", "personal": ["5"]}}, SIZE - HEAD + 1),
        ({"privacy": {"clipping": "adaptive"}}, SIZE + 2),
    ],
)
def test_noise_is_planned_for_all_that_is_sent(tables: Mapping[str, Any], length: int) -> None:
    found = {query.kind: query for query in queries(file(**tables), MODEL)}
    assert found["train"].length == length


EXAMPLE = {"privacy": {"unit": "example"}, "training": {"gradient_clip": 1.0, "expected_batch": 10.0}}


@pytest.mark.parametrize(
    ("tables", "key", "told"),
    [
        ({"strategy": {"name": "scaffold"}, **EXAMPLE}, "strategy.name", "has single steps"),
        ({"strategy": {"name": "scaffold"}, "training": {"momentum": 0.5}}, "training.momentum", "plain SGD"),
        (
            {"strategy": {"name": "scaffold"}, "federation": {"weighting": "examples"}},
            "federation.weighting",
            "counts each device once",
        ),
        ({"strategy": {"name": "scaffold", "robust": "median"}}, "strategy.robust", "plain sum"),
        ({"strategy": {"name": "fedper"}}, "strategy.personal", 'goes with name = "fedper"'),
        ({"strategy": {"personal": ["5"]}}, "strategy.personal", 'goes with name = "fedper"'),
        (
            {"strategy": {"name": "fedper", "personal": ["5"]}, **EXAMPLE},
            "strategy.name",
            "has single steps",
        ),
        ({"strategy": {"name": "fedadam", "file": "a.py"}}, "strategy.file", 'beside name = "fedadam"'),
        ({"strategy": {"robust": "median"}, **EXAMPLE}, "strategy.robust", "not group by group"),
        (
            {"strategy": {"robust": "median"}, "federation": {"devices_per_round": 20}},
            "privacy.largest_cohort",
            "fewer than 3 groups",
        ),
        (
            {"training": EXAMPLE["training"], "privacy": {"unit": "example", "clipping": "adaptive"}},
            "privacy.clipping",
            "norms of whole updates",
        ),
        (
            {"privacy": {"clipping": "adaptive", "clip_start": 11.0}},
            "privacy.clip_start",
            "the most there is",
        ),
        ({"privacy": {"noise_bands": 4}}, "privacy.noise_bands", "independent from round to round"),
        ({"privacy": SERVER | {"masks": True}}, "privacy.noise_at", "has to be trusted anyway"),
        (
            {"privacy": {"noise_at": "server", "masks": False, "noise": False}},
            "privacy.noise_at",
            "noise = false",
        ),
        (
            {"training": EXAMPLE["training"], "privacy": SERVER | {"unit": "example"}},
            "privacy.noise_at",
            'takes unit "device"',
        ),
        (
            {"privacy": SERVER | {"noise_bands": 4, "noise_separation": 4}},
            "privacy.noise_bands",
            "all devices are asked in every round",
        ),
        (
            {"privacy": SERVER | {"noise_bands": 4}, "federation": {"devices_per_round": 5}},
            "privacy.noise_separation",
            "is 1, and noise is correlated over 4 rounds",
        ),
        ({"privacy": SERVER | {"noise_separation": 4}}, "privacy.noise_separation", "goes with noise_bands"),
        ({"privacy": SERVER, "release": {"health_sums": 2}}, "release.health_sums", "real devices"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_to_do(
    tables: Mapping[str, Any], key: str, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        protection(file(**tables), MODEL, None, seeded=True)
    table, _, name = key.partition(".")
    assert (caught.value.source, caught.value.key) == (f"[{table}]", name)
    assert told in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"strategy": {"name": "scaffold"}}, "name"),
        ({"strategy": {"name": "fedper", "personal": ["5"]}}, "name"),
        ({"privacy": SERVER}, "noise_at"),
        ({"strategy": {"file": "own.py"}}, "file"),
    ],
)
def test_a_fleet_is_not_asked_for_what_only_a_simulation_can_do(tables: Mapping[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        algorithms.check_fleet(file(**tables))
    assert caught.value.key == key
    assert caught.value.hint


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"strategy": {"name": "fedadam"}},
        {"privacy": {"clipping": "adaptive"}},
        {"strategy": {"robust": "median"}},
    ],
)
def test_a_fleet_is_asked_for_what_its_devices_can_do(tables: Mapping[str, Any]) -> None:
    algorithms.check_fleet(file(**tables))


@pytest.mark.parametrize(
    ("tables", "train", "validate"),
    [
        ({}, (), ()),
        ({"strategy": {"name": "scaffold"}}, ("control-variates",), ()),
        (
            {"strategy": {"name": "fedper", "personal": ["5"]}},
            ("personal-parameters",),
            ("personal-parameters",),
        ),
        ({"privacy": {"clipping": "adaptive"}}, ("clip-indicator",), ()),
    ],
)
def test_a_drafted_policy_allows_what_is_asked_and_no_more(
    tables: Mapping[str, Any], train: tuple[str, ...], validate: tuple[str, ...]
) -> None:
    decided = file(**{**tables, "privacy": {"epsilon": 8.0} | dict(tables.get("privacy", {}))})
    protected = protection(decided, MODEL, operator(range(2, 22)), seeded=True)
    keys = public_of(OPERATOR).hex(), public_of(ENROLMENT).hex()
    log = parse(policy_text(), "policy.toml").log_trust()
    frame = Frame("digits", "To test.", *keys, log, "2026-01-01", "2026-12-31", simulation=True)
    policy = parse(draft(decided, MODEL, protected, 20, frame), "policy.toml")
    found = {kind: query.options for kind, query in policy.queries.items()}
    assert (found.pop("train"), found.pop("validate")) == (train, validate)
    assert set(found.values()) <= {()}
    assert policy.queries["train"].clip == "10"  # of adaptive clipping the most there is


def test_the_servers_noise_keeps_a_target_and_nearly_uses_it_up() -> None:
    """Correlated over eight rounds, each device in every tenth of sixty."""
    tables = {"federation": {"rounds": 60, "devices_per_round": 5}}
    terms = {"noise_bands": 8, "noise_separation": 10}
    decided = file(**tables, privacy=SERVER | terms)
    found = protection(decided, MODEL, None, seeded=True)
    assert found.central == Central(8, 10)
    events = []
    for query in queries(decided, MODEL):
        variance = total_variance(found.multipliers[query.kind], 1024)
        if query.kind == "train":
            events.append((MatrixGaussian(1024, query.length, variance, 8, 60, 10), 1))
        else:
            events.append((MatrixGaussian(1024, query.length, variance), query.sums))
    assert 7.9 < epsilon(events, 1e-5).value <= 8.0
    alone = protection(file(**tables, privacy=SERVER), MODEL, None, seeded=True)
    assert found.multipliers["train"] < 0.5 * alone.multipliers["train"]


def strategy_file(folder: Path, text: str) -> Path:
    path = folder / "own.py"
    path.write_text(text, "utf-8")
    return path


def test_a_strategy_of_ones_own_is_built_with_the_settings(tmp_path: Path) -> None:
    path = strategy_file(
        tmp_path,
        "from dataclasses import dataclass\n"
        "from flwr.serverapp.strategy import FedAvgM\n"
        "def build(settings):\n"
        "    return FedAvgM(server_learning_rate=settings.learning_rate, min_train_nodes=1)\n",
    )
    found = StrategySettings(file=str(path), learning_rate=0.25).build()
    assert found.server_learning_rate == 0.25  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "defines no build"),
        ("build = 3", "defines no build"),
        ("def build(settings): return 3", "build gave int"),
        ("def build(settings): return settings.nothing", "build failed: AttributeError"),
        ("import nothing_like_it", "failed: ModuleNotFoundError"),
    ],
)
def test_a_file_that_builds_no_strategy_says_what_to_do(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        from_file(strategy_file(tmp_path, text), StrategySettings())
    with pytest.raises(InputError, match="no strategy file"):
        from_file(tmp_path / "missing.py", StrategySettings())


def test_a_strategy_of_ones_own_says_what_it_remembers() -> None:
    class Counting(FedAvg):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0.0

        def saved(self) -> Mapping[str, Any]:
            return {"count": np.array([self.count])}

        def restore(self, state: Mapping[str, Any]) -> None:
            self.count = float(state["count"][0])

    first, second = Counting(), Counting()
    first.count = 7.0
    optimiser_state.restore(second, optimiser_state.save(first))
    assert second.count == 7.0
