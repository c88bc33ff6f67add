"""`covey demo`: which runs it makes, in which order, and what it goes on with. Nothing is trained."""

import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from covey.errors import InputError, StateError
from covey_io import settings
from covey_server import summary
from covey_server.run_folder import RunFolder
from covey_server.summary import Summary, privacy_of
from covey_simulations import beside, demo, terminal
from covey_simulations.demo import BARE, PRIVATE, Demo
from covey_simulations.report.facts import Beside
from covey_simulations.rollout.stage import FOLDER, OUTCOME
from covey_simulations.settings import SimulationFile
from covey_simulations.terminal import Job, Stopped
from sum_rows import reserve, settled
from written_ledger import planned, write

PACKAGE = Path(str(files("covey_simulations")))
SECOND = 1_000_000_000
ROLLOUT = "the rollout"


def finish(job: Job) -> Summary:
    """What a run leaves that has ended, without having been run."""
    folder = (
        RunFolder.open(job.path)
        if job.resuming
        else RunFolder.create(job.path, msgspec.to_builtins(job.file))
    )
    rows = settled([reserve(1, noise=None)])
    write(folder, [planned(1, noise=None)])
    folder.log_metrics(
        [{"round": 1, "loss": 1.0, "accuracy": 0.5, "devices": 20, "refused": 0, "seconds": 0.1}]
    )
    found = Summary(
        name=job.file.name,
        simulation=True,
        model=job.file.model.name,
        rounds=1,
        devices=20,
        privacy=privacy_of(rows, 1e-5),
        accuracy_federated=0.5,
        accuracy_central=None,
        accuracy_fp32=0.5,
        accuracy_int8=None,
        model_sha256="ab" * 32,
        package=str(job.path / "x.covey"),
        package_bytes=1000,
        latency_p50_us=None,
        seconds=1.0,
    )
    summary.write(found, job.path / "summary.json")
    return found


class Runs:
    """Stands in for `carry_out`: remembers what it was asked, and stops where it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool, int, bool]] = []
        self.beside: list[str | None] = []
        self.audited: list[str] = []
        self.stop_in = ""
        self.rolled_out: list[str] = []

    def roll_out(self, folder: RunFolder, say: Callable[[str], None]) -> tuple[str, ...]:
        say("demo 1.0.0 to all")
        if self.stop_in == ROLLOUT:
            raise KeyboardInterrupt
        self.rolled_out.append(folder.path.name)
        (folder.path / FOLDER).mkdir(exist_ok=True)
        (folder.path / FOLDER / OUTCOME).write_text("[]")
        return ("all serve it", "rolled back")

    def audit_lines(self, folder: Path) -> list[str]:
        self.audited.append(folder.name)
        return ["nothing found", "again: covey audit"]

    def carry_out(self, job: Job, _console: Console, compared: Beside | None, again: str) -> Summary:
        self.asked.append((job.path.name, job.resuming, job.file.seed, job.file.private_noise))
        self.beside.append(None if compared is None else compared.summary.name)
        if job.path.name == self.stop_in:
            if not job.resuming:
                RunFolder.create(job.path, msgspec.to_builtins(job.file))
            raise Stopped("stopped", hint=again)
        if not job.resuming and job.path.exists():
            job.path.rename(job.path.with_name(f"{job.path.name}-{len(self.asked)}"))
        return finish(job)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    stand_in = Runs()
    monkeypatch.setattr(demo, "carry_out", stand_in.carry_out)
    monkeypatch.setattr(demo, "audit_lines", stand_in.audit_lines)
    monkeypatch.setattr(demo, "roll_out", stand_in.roll_out)
    return stand_in


def demo_in(folder: Path) -> Demo:
    return Demo(PACKAGE / f"{BARE}.toml", PACKAGE / f"{PRIVATE}.toml", folder)


def test_the_run_without_noise_comes_first_and_stands_beside_the_private_one(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo_in(tmp_path).run([], resuming=False)
    assert runs.asked == [(BARE, False, 0, False), (PRIVATE, False, 0, False)]
    assert runs.beside == [None, BARE]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("first of two: without noise")
    assert lines[-5:-1] == [
        "rollout     all serve it",
        "            rolled back",
        "audit       nothing found",
        "            again: covey audit",
    ]
    assert "  demo 1.0.0 to all" in lines
    assert lines[-1] == str(tmp_path / PRIVATE / "report.html")
    assert runs.audited == [PRIVATE]


def test_seed_and_private_noise_are_both_runs(runs: Runs, tmp_path: Path) -> None:
    demo_in(tmp_path).run(["seed=7", "private_noise=true"], resuming=False)
    assert runs.asked == [(BARE, False, 7, True), (PRIVATE, False, 7, True)]


def test_stopped_in_the_first_run_both_are_gone_on_with_as_they_were_begun(
    runs: Runs, tmp_path: Path
) -> None:
    runs.stop_in = BARE
    with pytest.raises(Stopped, match=f"covey demo --resume --runs {tmp_path}"):
        demo_in(tmp_path).run(["seed=7", "private_noise=true"], resuming=False)
    runs.stop_in = ""
    demo_in(tmp_path).run([], resuming=True)
    assert runs.asked[1:] == [(BARE, True, 7, True), (PRIVATE, False, 7, True)]


def test_stopped_in_the_second_run_only_that_is_gone_on_with(runs: Runs, tmp_path: Path) -> None:
    runs.stop_in = PRIVATE
    with pytest.raises(Stopped):
        demo_in(tmp_path).run(["seed=7"], resuming=False)
    runs.stop_in = ""
    demo_in(tmp_path).run([], resuming=True)
    assert runs.asked[2:] == [(PRIVATE, True, 7, False)]
    assert runs.beside[2:] == [BARE]


def test_stopped_in_the_rollout_only_that_is_done_again(runs: Runs, tmp_path: Path) -> None:
    runs.stop_in = ROLLOUT
    with pytest.raises(Stopped, match=f"covey demo --resume --runs {tmp_path}"):
        demo_in(tmp_path).run([], resuming=False)
    runs.stop_in = ""
    demo_in(tmp_path).run([], resuming=True)
    assert len(runs.asked) == 2
    assert runs.rolled_out == runs.audited == [PRIVATE]


def test_stopped_between_the_runs_the_second_is_begun(runs: Runs, tmp_path: Path) -> None:
    finish(terminal.begun(PACKAGE / f"{BARE}.toml", ["seed=7"], tmp_path))
    demo_in(tmp_path).run([], resuming=True)
    assert runs.asked == [(PRIVATE, False, 7, False)]


@pytest.mark.parametrize("stopped_in", [BARE, ""])
def test_a_private_run_of_an_earlier_demo_is_no_part_of_this_one(
    stopped_in: str, runs: Runs, tmp_path: Path
) -> None:
    finish(terminal.begun(PACKAGE / f"{PRIVATE}.toml", [], tmp_path))
    marks = tmp_path / PRIVATE / "run.json"
    past = marks.stat().st_mtime_ns - 3600 * SECOND
    os.utime(marks, ns=(past, past))
    if stopped_in:
        runs.stop_in = stopped_in
        with pytest.raises(Stopped):
            demo_in(tmp_path).run(["seed=7"], resuming=False)
        runs.stop_in, runs.asked = "", []
    else:
        finish(terminal.begun(PACKAGE / f"{BARE}.toml", ["seed=7"], tmp_path))
    demo_in(tmp_path).run([], resuming=True)
    assert runs.asked[-1] == (PRIVATE, False, 7, False)


def test_a_finished_demo_is_not_gone_on_with(runs: Runs, tmp_path: Path) -> None:
    demo_in(tmp_path).run([], resuming=False)
    with pytest.raises(InputError, match="demo is finished"):
        demo_in(tmp_path).run([], resuming=True)
    assert len(runs.asked) == 2


def test_a_demo_that_was_not_begun_is_not_resumed(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="demo is not a run"):
        demo_in(tmp_path).run([], resuming=True)
    assert runs.asked == []


def test_a_demo_keeps_its_seed(runs: Runs, tmp_path: Path) -> None:
    demo_in(tmp_path).run([], resuming=False)
    with pytest.raises(InputError, match="keeps its configuration"):
        demo_in(tmp_path).run(["seed=7"], resuming=True)
    assert len(runs.asked) == 2


def test_the_two_federations_have_the_same_data_and_devices() -> None:
    bare, private = (settings.load(PACKAGE / f"{name}.toml", SimulationFile) for name in (BARE, PRIVATE))
    assert (bare.data, bare.seed) == (private.data, private.seed)
    assert not bare.privacy.noise
    assert (private.privacy.masks, private.privacy.noise, private.privacy.epsilon) == (True, True, 4)


class TestBeside:
    def test_a_finished_run_is_read(self, tmp_path: Path) -> None:
        finish(terminal.begun(PACKAGE / f"{BARE}.toml", [], tmp_path))
        found = beside.read(tmp_path / BARE)
        assert found.summary.name == BARE
        assert [each.accuracy for each in found.rounds] == [0.5]
        assert found.sent == 400

    def test_one_that_is_not_finished_is_refused(self, tmp_path: Path) -> None:
        RunFolder.create(tmp_path / "half", {"name": "half"})
        with pytest.raises(InputError, match=r"half is not finished .*--resume"):
            beside.read(tmp_path / "half")

    def test_what_is_no_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is not a run"):
            beside.read(tmp_path)

    def test_a_summary_of_another_version_is_named(self, tmp_path: Path) -> None:
        RunFolder.create(tmp_path / "old", {"name": "old"})
        (tmp_path / "old" / "summary.json").write_text('{"name": "old", "masks": "none"}')
        with pytest.raises(StateError, match=r"old/summary\.json is not a summary"):
            beside.read(tmp_path / "old")
