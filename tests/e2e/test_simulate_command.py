"""`covey simulate` as a person runs it: a process, a folder, what is printed and what can be done with it."""

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import small_federation as small
from covey_cli.main import run
from covey_client import slots
from sum_rows import View, recomputed

QUICK = small.sets(*small.QUICK)

KEYS = {
    "name": str,
    "simulation": bool,
    "model": str,
    "rounds": int,
    "devices": int,
    "privacy": dict,
    "accuracy_federated": float,
    "accuracy_central": float,
    "accuracy_fp32": float,
    "accuracy_int8": float,
    "model_sha256": str,
    "package": str,
    "package_bytes": int,
    "latency_p50_us": float,
    "seconds": float,
    "clock": type(None),
}


CLAIMS = {
    "masks": str,
    "noise": str,
    "simulated": bool,
    "unit": str,
    "delta": float,
    "epsilon_server": float,
    "epsilon_release": float,
    "sums": dict,
    "unopened": int,
    "statement": str,
}


@dataclass(frozen=True)
class Done:
    """A finished run and what its process said."""

    folder: Path
    process: "subprocess.CompletedProcess[str]"

    @property
    def run(self) -> Path:
        return self.folder / "runs" / small.NAME

    @property
    def summary(self) -> dict[str, Any]:
        return small.summary(self.run)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("simulate")
    process = small.covey("simulate", small.write(folder), cwd=folder)
    assert process.returncode == 0, process.stderr
    return Done(folder, process)


def test_the_last_line_is_the_reports_path(done: Done) -> None:
    last = done.process.stdout.splitlines()[-1]
    assert last == "runs/small/report.html"
    assert (done.folder / last).is_file()


def test_nothing_is_said_on_stderr(done: Done) -> None:
    assert done.process.stderr == ""


def test_the_closing_text_has_at_most_twelve_lines(done: Done) -> None:
    lines = done.process.stdout.splitlines()
    closing = [line for line in lines[lines.index("report") + 1 :] if line]
    assert 5 <= len(closing) <= 12
    assert [line.split()[0] for line in closing[:-1] if not line.startswith(" ")] == [
        "trained",
        "accuracy",
        "package",
        "sent",
        "protection",
        "model",
        "figures",
    ]


def test_the_closing_text_says_what_the_summary_says(done: Done) -> None:
    told, text = done.summary, done.process.stdout
    assert told["model_sha256"] in text
    for key in ("accuracy_federated", "accuracy_central", "accuracy_fp32", "accuracy_int8"):
        assert f"{told[key]:.1%}" in text
    for clause in told["privacy"]["statement"].split("; "):
        assert clause in text
    assert "SIMULATION: noise from a seed protects nobody" in text
    for path in ("runs/small/small.covey", "runs/small/summary.json", "runs/small/metrics.csv"):
        assert path in text
        assert (done.folder / path).is_file()


def test_output_that_is_no_terminal_has_a_line_a_round_and_no_escape_codes(done: Done) -> None:
    lines = done.process.stdout.splitlines()
    assert "\x1b" not in done.process.stdout
    assert "\r" not in done.process.stdout
    rounds = [line.split() for line in lines if line.startswith("  round")]
    assert [words[1] for words in rounds] == ["1/2", "2/2"]
    stages = [line for line in lines[: lines.index("report") + 1] if not line.startswith(" ")]
    assert stages == ["data", "training", "central baseline", "package", "install", "report"]


def test_the_summary_has_every_documented_key(done: Done) -> None:
    told = done.summary
    assert {key: type(value) for key, value in told.items()} == KEYS
    assert {key: type(value) for key, value in told["privacy"].items()} == CLAIMS
    assert told["name"] == "small"
    assert told["simulation"] is True
    assert (told["rounds"], told["devices"]) == (2, 3)
    assert len(told["model_sha256"]) == 64
    assert told["package_bytes"] == (done.folder / told["package"]).stat().st_size
    assert told["latency_p50_us"] > 0
    for key in ("accuracy_federated", "accuracy_central", "accuracy_fp32", "accuracy_int8"):
        assert 0.2 < told[key] <= 1  # ten digits: guessing is right in a tenth
    assert told["accuracy_fp32"] == pytest.approx(told["accuracy_federated"], abs=0.01)  # a noisy query


def test_the_last_validation_is_the_summarys_accuracy(done: Done) -> None:
    rows = small.rows(done.run / "metrics.jsonl")
    assert rows[-1]["accuracy"] == done.summary["accuracy_federated"]


def test_metrics_csv_and_jsonl_agree(done: Done) -> None:
    rows = small.rows(done.run / "metrics.jsonl")
    with (done.run / "metrics.csv").open(newline="") as file:
        told = list(csv.DictReader(file))
    assert [list(row) for row in told] == [list(row) for row in rows]
    assert [{key: float(value) for key, value in row.items()} for row in told] == rows
    assert [row["round"] for row in rows] == [1, 2]


def test_every_sum_is_on_record(done: Done) -> None:
    rows = small.sums(done.run)
    asked, opened = ([row for row in rows if row["event"] == event] for event in ("reserve", "settle"))
    assert [(row["round"], row["kind"]) for row in asked] == [
        (0, "statistics"),
        (1, "train"),
        (1, "validate"),
        (2, "train"),
        (2, "validate"),
        (2, "calibrate"),
    ]
    assert [row["sum"] for row in rows] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert {row["devices"] for row in opened} == {3}
    for row in asked:
        assert row["asked"] == 3
        assert row["bytes_per_device"] == 4 * row["elements"] == 4 * sum(p["length"] for p in row["parts"])


@pytest.mark.parametrize("view", ["server", "release"])
def test_the_epsilon_of_the_summary_follows_from_the_sums_on_record(done: Done, view: View) -> None:
    told, rows = done.summary["privacy"], small.sums(done.run)
    found = told[f"epsilon_{view}"]
    assert found == pytest.approx(recomputed(rows, told["delta"], view), rel=1e-6)
    assert told["epsilon_release"] <= told["epsilon_server"]
    assert (told["masks"], told["noise"], told["simulated"]) == ("elided", "skellam", True)
    assert told["sums"] == {"statistics": 1, "train": 2, "validate": 2, "calibrate": 1}


def test_the_package_verifies_with_the_runs_key(done: Done) -> None:
    process = small.covey(
        *("package", "verify", "runs/small/small.covey", "--key", "runs/small/keys/release.pub.pem"),
        cwd=done.folder,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith("verified: small ")


def test_the_secret_key_is_for_its_owner_alone(done: Done) -> None:
    assert (done.run / "keys" / "release.pem").stat().st_mode & 0o777 == 0o600
    assert (done.run / "keys").stat().st_mode & 0o777 == 0o700


def test_the_installed_device_infers(done: Done) -> None:
    trusted = (done.run / "device" / slots.TRUSTED).read_bytes()
    assert trusted == (done.run / "keys" / "release.pub.pem").read_bytes()
    golden = slots.installed(done.run / "device").golden
    np.save(done.folder / "inputs.npy", golden.inputs)
    process = small.covey("infer", "runs/small/device", "inputs.npy", "--json", cwd=done.folder)
    assert process.returncode == 0, process.stderr
    told = json.loads(process.stdout)
    expected = golden.outputs["int8"].argmax(axis=1)
    assert [told["labels"].index(each["label"]) for each in told["predictions"]] == expected.tolist()


def test_the_resolved_configuration_gives_the_same_model_again(done: Done, tmp_path: Path) -> None:
    process = small.covey("simulate", done.run / "config.toml", *QUICK, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    told = small.summary(tmp_path / "runs" / small.NAME)
    for key in ("model_sha256", "accuracy_federated", "accuracy_fp32"):
        assert told[key] == done.summary[key]
    assert told["accuracy_int8"] is None
    assert told["accuracy_central"] is None
    assert small.outcome(tmp_path / "runs" / small.NAME)["variants"] == ("fp32",)


def test_another_seed_gives_another_model_and_the_earlier_run_is_moved_aside(
    done: Done, tmp_path: Path
) -> None:
    runs = tmp_path / "a folder with a name long enough to be broken over two lines of eighty" / "elsewhere"
    shutil.copytree(done.folder / "runs", runs, symlinks=True)
    kept = {path.relative_to(done.run): path.read_bytes() for path in done.run.rglob("*") if path.is_file()}
    file = small.write(tmp_path)
    process = small.covey("simulate", file, *QUICK, "--seed", "4", "--runs", runs, cwd=tmp_path)
    assert process.returncode == 0, process.stderr

    aside = runs / "small-1"
    assert f"an earlier run was moved to {aside}" in process.stdout.splitlines()
    found = {path.relative_to(aside): path.read_bytes() for path in aside.rglob("*") if path.is_file()}
    assert found == kept
    assert "seed = 4" in (runs / "small" / "config.toml").read_text("utf-8")
    assert small.summary(runs / "small")["model_sha256"] != done.summary["model_sha256"]


Again = Callable[..., dict[str, Any]]


@pytest.fixture
def again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Again:
    """One round of the small federation under another name, in this process: its summary and its output."""
    monkeypatch.chdir(tmp_path)
    small.write(tmp_path)

    def simulate(name: str, *overrides: str) -> dict[str, Any]:
        words = [*QUICK, *small.sets(f"name={name}", "federation.rounds=1", *overrides)]
        assert run(["simulate", "small.toml", *words]) == 0
        return small.summary(tmp_path / "runs" / name) | {"printed": capsys.readouterr().out}

    return simulate


def test_masked_runs_repeat_and_private_noise_does_not(again: Again) -> None:
    one, same = (again(name, *small.CROWD) for name in ("one", "same"))
    private = again("private", *small.CROWD, "private_noise=true")
    assert one["model_sha256"] == same["model_sha256"] != private["model_sha256"]
    assert (one["privacy"]["masks"], one["privacy"]["simulated"]) == ("on", True)
    assert private["privacy"]["simulated"] is False
    assert private["privacy"]["epsilon_server"] == one["privacy"]["epsilon_server"]
    assert "masked sums: the server saw no single answer" in one["printed"]
    assert "SIMULATION: the noise is as on a fleet" in private["printed"]


def test_a_masked_run_says_how_it_is_checked_and_the_check_finds_nothing(
    again: Again, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = again("checked", *small.CROWD)["printed"]
    (line,) = (line for line in printed.splitlines() if line.startswith("check "))
    words = line.split()[1:]
    assert words[:2] == ["covey", "audit"]
    assert run(words[1:]) == 0
    assert "No ε is certified" in capsys.readouterr().out  # it is a simulation


def test_a_run_without_masks_and_noise_shouts(again: Again, tmp_path: Path) -> None:
    told = again("bare", "privacy.masks=false", "privacy.noise=false")
    for text in (told["printed"], told["privacy"]["statement"]):
        assert "NO MASKS: the server saw every answer" in text
        assert "NO NOISE: no differential privacy" in text
    assert told["privacy"]["epsilon_server"] is None
    report = (tmp_path / "runs/bare/report.html").read_text("utf-8")
    assert "protected the devices" in report


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["fedavg", "fedprox", "fedavgm", "fedyogi"])
def test_every_strategy_runs_and_repeats(tmp_path: Path, strategy: str) -> None:
    words = ["simulate", str(small.write(tmp_path)), *QUICK, "--set", f"strategy.name={strategy}"]
    hashes = set()
    for _ in range(2):
        process = small.covey(*words, cwd=tmp_path)
        assert process.returncode == 0, process.stderr
        hashes.add(small.summary(tmp_path / "runs" / small.NAME)["model_sha256"])
    assert len(hashes) == 1
