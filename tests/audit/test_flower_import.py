"""A state of Flower's own accountant, made by Flower and read without it."""

import importlib
import json
import subprocess
import sys
import warnings
from collections.abc import Iterable
from math import log
from pathlib import Path
from typing import Any

import pytest
import typer
from flwr.supercore.privacy_accounting import (
    GaussianPrivacyEvent,
    NeighboringRelation,
    PrivacyConfig,
    SamplingMethod,
)
from flwr.supercore.privacy_accounting.rdp_accountant import RdpAccountant
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from covey.errors import InputError
from covey_audit import flower_import
from covey_audit.audit_commands import audit
from covey_audit.flower_command import audit_flower

DELTA = 1e-5
SUMS = [(1.2, 50, 200), (2.0, 100, 3)]
RELATIONS = {
    "poisson": NeighboringRelation.ADD_OR_REMOVE_ONE,
    "without-replacement": NeighboringRelation.REPLACE_ONE,
    "no-amplification": NeighboringRelation.ADD_OR_REMOVE_ONE,
}


@pytest.fixture(scope="module", autouse=True)
def _opacus_once() -> None:
    """Importing Opacus warns about things of torch's; its figures are what is looked at here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("opacus.accountants.analysis.rdp")


def accountant(
    sampling: str = "poisson",
    sums: Iterable[tuple[float, int, int]] = SUMS,
    budget: float | None = None,
    orders: tuple[float, ...] | None = None,
) -> RdpAccountant:
    config = PrivacyConfig(DELTA, 1000, RELATIONS[sampling], SamplingMethod(sampling), budget)
    made = RdpAccountant(config, orders)
    for multiplier, size, count in sums:
        made.compose(GaussianPrivacyEvent(multiplier, size, 1000), count)
    return made


def written(made: RdpAccountant) -> bytes:
    return json.dumps(made.state_dict()).encode()


def changed(path: str, value: Any) -> bytes:
    """A state in which one value, by its dotted path, is another; "…-" takes it out, a new name adds it."""
    state: Any = accountant().state_dict()
    *parents, last = path.split(".")
    place = state
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(state).encode()


@pytest.mark.parametrize("sampling", RELATIONS)
def test_flower_s_own_figure_comes_out(sampling: str) -> None:
    made = accountant(sampling)
    state = flower_import.read(written(made), "state.json")
    assert state.sums == made.num_releases == 203
    for delta in (DELTA, 1e-7):
        found = flower_import.recompute(state, delta)
        assert found.flower == pytest.approx(made.get_epsilon(delta), rel=1e-12)


@pytest.mark.parametrize("sampling", ["poisson", "no-amplification"])
def test_closed_form_and_libraries_agree_at_the_same_orders(sampling: str) -> None:
    orders = tuple(map(float, flower_import._orders()))
    made = accountant(sampling, orders=orders)
    found = flower_import.recompute(flower_import.read(written(made), "state.json"))
    assert found.closed == pytest.approx(made.get_epsilon(DELTA), rel=1e-9)
    assert found.closed == pytest.approx(found.dp_accounting, rel=1e-9)
    assert found.closed == pytest.approx(found.opacus, rel=1e-9)
    assert found.gap < 1e-9
    assert found.greatest == pytest.approx(found.flower, rel=1e-9)


def test_without_replacement_only_dp_accounting_is_asked() -> None:
    found = flower_import.recompute(
        flower_import.read(written(accountant("without-replacement")), "state.json")
    )
    assert (found.closed, found.dp_accounting, found.opacus) == (None, None, None)
    assert found.greatest == found.flower > 0
    assert found.gap == 0


def test_one_gaussian_is_what_the_papers_say() -> None:
    """(0, 1/(2z²))-zCDP, and from there to ε at the best order (arXiv:2004.00010, Proposition 12)."""
    state = flower_import.read(written(accountant("no-amplification", [(8.0, 1000, 1)])), "state.json")
    curve = {a: a / 128 + log(1 - 1 / a) - log(DELTA * a) / (a - 1) for a in flower_import._orders()}
    assert flower_import.closed_form(state, DELTA) == pytest.approx(min(curve.values()), rel=1e-9)


def test_no_sums_cost_nothing() -> None:
    found = flower_import.recompute(flower_import.read(written(accountant(sums=[])), "state.json"))
    assert (found.flower, found.closed, found.dp_accounting, found.opacus) == (0, 0, 0, 0)


def test_the_same_sum_in_many_entries_counts_once_as_a_kind() -> None:
    state = flower_import.read(written(accountant(sums=[(1.2, 50, 1)] * 40)), "state.json")
    assert len(state.counted) == 1
    assert state.sums == 40


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("schema_version", 2, "schema_version"),
        ("schema_version", ..., "schema_version"),
        ("backend", "pld", "backend"),
        ("signature", "mine", "unknown field"),
        ("orders", [], "orders"),
        ("orders", [1.0], "orders"),
        ("config.sampling_method", "shuffled", "sampling_method"),
        ("config.target_delta", 0, "target_delta"),
        ("config.neighboring_relation", "replace-one", "with neighbours by replace-one"),
        ("config.population_size", 999, "a population of 1000, not 999"),
        ("config.max_epsilon", 0, "max_epsilon"),
        ("compositions.0.count", 0, "count"),
        ("compositions.0.count", True, "count"),
        ("compositions.0.count", 1.5, "count"),
        ("compositions.0.event.noise_multiplier", 0, "noise_multiplier"),
        ("compositions.0.event.noise_multiplier", "1", "noise_multiplier"),
        ("compositions.0.event.sample_size", 1001, "1001 clients of 1000"),
        ("compositions.0.event.clip", 1, "unknown field"),
    ],
)
def test_a_state_that_flower_cannot_have_written_is_refused(path: str, value: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        flower_import.read(changed(path, value), "state.json")
    assert caught.value.message.startswith("state.json: ")
    assert caught.value.hint


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with pytest.raises(InputError):
        flower_import.read(data, "state.json")


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="bytes, at most"):
        flower_import.read(b" " * (flower_import.MAX_BYTES + 1), "state.json")
    monkeypatch.setattr(flower_import, "MOST_KINDS", 1)
    with pytest.raises(InputError, match="2 different sums, at most 1"):
        flower_import.recompute(flower_import.read(written(accountant()), "state.json"))


def run(path: Path, *options: str, status: int = 0) -> str:
    app = typer.Typer()
    app.command()(audit_flower)
    environment = {"TERM": "dumb", "COLUMNS": "80", "NO_COLOR": "1"}
    result = CliRunner().invoke(app, [str(path), *options], env=environment, catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.stdout


def test_the_command_says_what_it_found_and_what_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(written(accountant(budget=8)))
    text = " ".join(run(path).split())
    assert text.startswith(
        "If all of it is true, these 203 sums cost one client epsilon 3.833 at delta 1e-05"
    )
    assert "epsilon, flower 3.803701" in text
    assert "epsilon, closed form 3.832998" in text
    for said in ("no signature", "clipped", "without secure aggregation", "drop-outs", "Who took part"):
        assert said in text
    assert "FINDING" not in text


def test_the_command_s_json(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(written(accountant("without-replacement")))
    told = json.loads(run(path, "--json", "--delta", "1e-6"))
    assert told["delta"] == 1e-6
    assert list(told["epsilon"]) == ["flower"]
    assert told["findings"] == []
    assert told["not_shown"]


def test_a_budget_that_is_exceeded_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(written(accountant(budget=3.82)))  # Flower's own figure is below, the closed form above
    assert "FINDING: the state's own budget of 3.82 is exceeded" in " ".join(run(path, status=1).split())


def test_accountants_that_differ_are_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower_import, "closed_form", lambda _state, _delta: 3.8)
    path = tmp_path / "state.json"
    path.write_bytes(written(accountant()))
    assert "FINDING: the accountants differ" in run(path, status=1)


def test_it_stands_beside_the_other_audits(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(written(accountant(sums=[])))
    result = CliRunner().invoke(audit, ["flower", str(path)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "these 0 sums cost one client epsilon 0.000" in result.stdout


def test_no_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        run(tmp_path / "state.json")


def test_the_command_brings_neither_flower_nor_numpy() -> None:
    heavy = "{'torch', 'opacus', 'dp_accounting', 'flwr', 'numpy'}"
    code = f"import sys, covey_audit.flower_command as _; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = f"import sys, covey_audit.flower_import as _; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
