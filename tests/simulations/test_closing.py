from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from covey_server.run_folder import RunFolder
from covey_server.summary import Spread, Summary, VirtualClock, privacy_of
from covey_simulations.closing import closing_lines
from covey_simulations.report.facts import Beside
from sum_rows import Row, reserve, settled
from written_ledger import planned, write


@dataclass(frozen=True)
class Ended:
    """A run that has ended."""

    folder: RunFolder
    summary: Summary

    def lines(self, **changes: Any) -> list[str]:
        return closing_lines(msgspec.structs.replace(self.summary, **changes), self.folder)


def reserves() -> list[Row]:
    """Statistics, three rounds, a validation."""
    elements = {1: ("statistics", 13), 5: ("validate", 50)}
    kinds = [elements.get(serial, ("train", 2_500)) for serial in range(1, 6)]
    return [
        reserve(serial, kind, elements=length, bytes_per_device=4 * length)
        for serial, (kind, length) in enumerate(kinds, start=1)
    ]


def sums() -> list[Row]:
    """Each of them opened."""
    return settled(reserves())


@pytest.fixture
def run(tmp_path: Path) -> Ended:
    folder = RunFolder.create(tmp_path / "runs" / "mine", {"name": "mine"})
    write(folder, [planned(row["sum"], row["kind"], row["elements"]) for row in reserves()])
    summary = Summary(
        name="mine",
        simulation=True,
        model="m",
        rounds=3,
        devices=20,
        privacy=privacy_of(sums(), 1e-5),
        accuracy_federated=0.91,
        accuracy_central=0.923,
        accuracy_fp32=0.91,
        accuracy_int8=0.905,
        model_sha256="ab" * 32,
        package="runs/mine/mine.covey",
        package_bytes=45_678,
        latency_p50_us=21.6,
        seconds=61.7,
    )
    return Ended(folder, summary)


def protection(lines: list[str]) -> str:
    """The claim, which may take more than one line."""
    (start,) = (number for number, line in enumerate(lines) if line.startswith("protection"))
    claimed = [lines[start].removeprefix("protection")]
    for line in lines[start + 1 :]:
        if not line.startswith(" "):
            break
        claimed.append(line)
    return "; ".join(line.strip() for line in claimed)


def test_the_last_line_is_the_reports_path_alone(run: Ended) -> None:
    assert run.lines()[-1] == str(run.folder.path / "report.html")


def test_there_are_at_most_twelve_lines_and_none_has_a_line_break(run: Ended) -> None:
    assert len(run.lines()) <= 12
    assert all("\n" not in line for line in run.lines())


def test_it_says_what_the_run_came_to(run: Ended) -> None:
    text = "\n".join(run.lines())
    assert "3 rounds with 20 devices in 62 s" in text
    assert "91.0%, central 92.3%, packaged fp32 91.0%, int8 90.5%" in text
    assert "federated, by a noisy query, 91.0%" in text
    assert "runs/mine/mine.covey, 45.7 kB, signed, installed, 22 µs an input" in text
    assert f"sha256 {'ab' * 32}" in text


def test_a_run_that_ended_with_its_training_says_nothing_of_a_package(run: Ended) -> None:
    none = dict.fromkeys(("package", "package_bytes", "latency_p50_us", "accuracy_fp32", "accuracy_int8"))
    lines = run.lines(**none, accuracy_central=None)
    assert lines[-1] == str(run.folder.path)
    assert [line for line in lines if line.startswith("accuracy")] == [
        "accuracy    federated, by a noisy query, 91.0%"
    ]
    assert not [line for line in lines if line.startswith("package") or "covey," in line]


def test_it_says_what_left_each_device(run: Ended) -> None:
    (line,) = (line for line in run.lines() if line.startswith("sent "))
    assert "by each device: " in line
    assert "3 train (10.0 kB)" in line
    assert "1 validate (0.2 kB)" in line
    assert line.endswith("0.03 MB in all")  # 4 (13 + 3 · 2500 + 50) bytes


def test_it_claims_what_the_summary_claims(run: Ended) -> None:
    claimed = protection(run.lines())
    assert claimed == run.summary.privacy.statement
    assert f"ε = {run.summary.privacy.epsilon_server} against the server" in claimed
    assert "SIMULATION: noise from a seed protects nobody" in claimed


def test_noise_of_the_operating_system_is_no_less_a_simulation(run: Ended) -> None:
    privacy = msgspec.structs.replace(run.summary.privacy, simulated=False, statement="masked sums; ε = 4")
    claimed = protection(run.lines(privacy=privacy))
    assert claimed.endswith("; SIMULATION: the noise is as on a fleet, and this machine holds all data")


def test_without_masks_and_noise_it_shouts(run: Ended) -> None:
    bare = privacy_of([row | {"noise": None, "masks": "none"} for row in sums()], 1e-5)
    claimed = protection(run.lines(privacy=bare))
    assert claimed == "NO MASKS: the server saw every answer; NO NOISE: no differential privacy"


def test_what_was_not_measured_is_left_out(run: Ended) -> None:
    quiet = privacy_of([row | {"noise": None} for row in sums()], 1e-5)
    lines = run.lines(privacy=quiet, accuracy_central=None, accuracy_int8=None, latency_p50_us=None)
    (accuracy,) = (line for line in lines if line.startswith("accuracy"))
    assert accuracy.split(None, 1)[1] == "federated 91.0%, packaged fp32 91.0%"
    (package,) = (line for line in lines if line.startswith("package"))
    assert package.endswith("45.7 kB, signed, installed")
    assert "None" not in "\n".join(lines)


def test_the_files_it_names_are_in_the_runs_folder(run: Ended) -> None:
    (line,) = (line for line in run.lines() if line.startswith("figures"))
    named = [Path(word.strip()) for word in line.split(None, 1)[1].split(",")]
    assert named == [run.folder.path / "summary.json", run.folder.path / "metrics.csv"]


class TestBeside:
    """Two runs side by side."""

    @pytest.fixture
    def lines(self, run: Ended) -> list[str]:
        unprotected = [row | {"noise": None} for row in sums()]
        quiet = msgspec.structs.replace(
            run.summary, name="open", model="n", rounds=150, privacy=privacy_of(unprotected, 1e-5)
        )
        beside = Beside(quiet, (), 2_660_000, "runs/open")
        return closing_lines(run.summary, run.folder, beside)

    def test_both_are_on_each_line_in_their_columns(self, lines: list[str]) -> None:
        shown = {line[:12].strip(): line[12:].split("  ", 1) for line in lines if line[:12].strip()}
        assert [part.strip() for part in shown["trained"]] == ["n, 150 rounds, 62 s", "m, 3 rounds, 62 s"]
        assert shown["accuracy"][0] == "91.0% (data pooled: 92.3%)"
        assert shown["accuracy"][1].strip() == "91.0% by a noisy query, 91.0% exactly"
        assert shown["sent"][0] == "2.66 MB by each device"
        assert shown["privacy"][0] == "NONE: no noise was added"
        assert shown["privacy"][1].strip().startswith("ε = ")

    def test_there_are_at_most_twelve_lines_that_fit_100_columns(self, lines: list[str]) -> None:
        assert len([line for line in lines if line]) <= 12
        long = [line for line in lines[:-1] if len(line) > 100 and not line.startswith("package")]
        assert not long

    def test_the_private_runs_protection_is_said_and_its_report_comes_last(
        self, lines: list[str], run: Ended
    ) -> None:
        text = "\n".join(lines)
        assert "protects nobody" in text
        assert lines[-1] == str(run.folder.path / "report.html")


def test_a_clock_is_told_in_one_line(run: Ended) -> None:
    spread = Spread(mean=2.0, median=1.5, p95=4.0, most=5.0)
    clock = VirtualClock(
        hours=60.0,
        waited=0.0,
        devices=3,
        asked=40,
        answered=30,
        joules=spread,
        bytes=spread,
        joules_in_all=6.0,
        bytes_in_all=6,
    )
    (line,) = (line for line in run.lines(clock=clock) if line.startswith("clock"))
    assert line.split(maxsplit=1)[1].replace("\u202f", " ").replace("\xa0", " ") == (
        "2.5 days simulated, 75% answered; 1.5 J and 2 B for half of the devices at most"
    )
    assert not any(line.startswith("clock") for line in run.lines())
