"""A small fleet's releases: one that is good, one that is not, and what the ledger says of both."""

import json
from pathlib import Path

import pytest

from covey.ledger.entries import ModelRelease, Reserve, RolloutDecision
from covey.plan import Health
from covey.plan import from_bytes as plan_of
from covey_server.run_folder import RunFolder
from covey_server.sum_rows import read_entries
from covey_simulations.rollout.stage import FOLDER, is_over, roll_out
from covey_simulations.self_audit import audit_lines
from small_federation import CROWD, NAME, covey, sets, write

RELEASED = (
    "release.gate=true",
    'release.limits={accuracy_floor = "0", most_missed = "1"}',
    "release.health_sums=1",
    "privacy.health_multiplier=0.3",
    "central.enabled=false",
    "data.devices=14",
    "data.examples=700",
)


@pytest.fixture(scope="module")
def rolled_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, tuple[str, ...]]:
    folder = tmp_path_factory.mktemp("rollout")
    ended = covey("simulate", write(folder), *sets(*CROWD, *RELEASED), cwd=folder)
    assert ended.returncode == 0, ended.stderr
    made = RunFolder.open(folder / "runs" / NAME)
    return made, roll_out(made, lambda _: None)


pytestmark = pytest.mark.long

Rolled = tuple[RunFolder, tuple[str, ...]]


def test_the_good_one_is_served_and_the_bad_one_ends_at_the_canaries(rolled_out: Rolled) -> None:
    _, lines = rolled_out
    good, bad, _, verdict, rest, _ = lines
    assert good.startswith("small 1.0.0: 14 of 14 devices serve it")
    assert bad.startswith("small 1.1.0: 10 of 10 canaries refused it")
    assert verdict.startswith("rolled-back: ring canary: ")
    assert rest == "10 devices ever fetched it; all 14 serve 1.0.0"


def test_every_decision_and_the_health_that_it_followed_from_are_in_the_ledger(rolled_out: Rolled) -> None:
    run_folder, _ = rolled_out
    entries = read_entries(run_folder.ledger)
    decisions = [each for each in entries if isinstance(each, RolloutDecision)]
    assert [each.action for each in decisions] == ["start", "abort", "start", "stop"]
    assert [each.serial for each in decisions] == [1, 2, 3, 4]
    asked = [plan_of(each.plan).task for each in entries if isinstance(each, Reserve)]
    assert [each.rollout for each in asked if isinstance(each, Health)] == ["small-2"]
    assert (
        len([each for each in entries if isinstance(each, ModelRelease)]) == 2
    )  # the run's own, the release


def test_an_audit_finds_nothing(rolled_out: Rolled) -> None:
    run_folder, _ = rolled_out
    assert any("nothing found" in line for line in audit_lines(run_folder.path))


def test_devices_say_why(rolled_out: Rolled) -> None:
    run_folder, _ = rolled_out
    logs = [path.read_text() for path in (run_folder.path / FOLDER / "devices").glob("*/updates.log")]
    assert sum("golden/outputs" in log for log in logs) == 10
    assert all("passed its trial" in log for log in logs)
    told = json.loads((run_folder.path / FOLDER / "outcome.json").read_bytes())
    assert tuple(told) == rolled_out[1]
    assert is_over(run_folder.path)


def test_once_more_asks_under_a_next_policy(rolled_out: Rolled) -> None:
    run_folder, _ = rolled_out
    before = Path(run_folder.path / "policy").read_bytes()
    assert roll_out(run_folder, lambda _: None)[3].startswith("rolled-back")
    assert Path(run_folder.path / "policy").read_bytes() != before
    assert any("nothing found" in line for line in audit_lines(run_folder.path))
