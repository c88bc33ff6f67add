"""A run that is killed at any instruction goes on to the result it would have had.

The short tests kill a small federation at every durable step it makes, see `crashing`. The long ones kill
real processes at random times.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import crashing
import small_federation as small
from covey import merkle
from covey.ledger.checkpoint import claimed
from covey.ledger.entries import Abort, AnyEntry, Enrol, MetricsRelease, ModelRelease, Settle, kind_of
from covey_audit.anchor_files import Given
from covey_audit.examining import examine
from covey_client import slots
from covey_io.witness_client import LocalWitness
from covey_server.run_folder import RunFolder
from covey_server.sum_rows import read_entries
from covey_simulations.rollout.stage import is_over
from sum_rows import recomputed

RUN = Path(small.NAME)

STAGES = {
    "start": (".", "", "checkpoints", "config.toml", "run.json", "origin.json"),
    "fleet": ("keys", "keys/simulation.key", "keys/reviewer.vkey", "keys/enrolment.pub", "roster", "policy"),
    "witness": ("witness", "witness/"),
    "ledger": ("ledger", "ledger/"),
    "training": ("metrics.jsonl", "metrics.csv", "checkpoints/"),
    "package": (
        *("central.json", "calibration.json"),
        *("keys/release.pem", "keys/release.pub.pem", "small.covey"),
    ),
    "install": ("device", "device/"),
    "report": ("report.msgpack", "report.html", "summary.json"),
}
LEDGER_STAGES = ("fleet", "witness", "ledger")
MOMENTS = ("before", "within", "after")
ONE_QUICKLY = [*(pytest.param(each, marks=pytest.mark.long) for each in MOMENTS[:2]), MOMENTS[2]]
"""A kill after a step is most of what a kill before the next one is; the others are among the slow tests."""
WITHIN = {"replace", "append", "swap", "rmtree"}
"""Kinds of steps that have a middle."""


@dataclass(frozen=True)
class Forks:
    """Runs of the small federation, each in a fork of one process that has imported everything."""

    process: subprocess.Popen[str]
    folder: Path

    def run(
        self,
        runs: Path,
        *arguments: str | Path,
        fatal: int | None = None,
        moment: str = "",
        remember: bool = True,
        draw: bool = False,
    ) -> dict[str, Any]:
        """`covey` with these arguments; dies at step `fatal` below `runs`."""
        request = {
            "arguments": [*map(str, arguments)],
            "root": str(runs),
            "fatal": fatal,
            "moment": moment,
            "memory": str(self.folder / "memory") if remember else "",
            "draw": draw,
            "log": str(self.folder / "log"),
        }
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answered: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answered

    def begin(self, runs: Path, *words: str, **named: Any) -> dict[str, Any]:
        """Start the federation."""
        return self.run(runs, "simulate", self.folder / "small.toml", "--runs", runs, *words, **named)

    def go_on(self, runs: Path, *words: str, **named: Any) -> dict[str, Any]:
        """What a person does after a crash: resume; or start anew, if the run had not begun."""
        if not (runs / RUN / "run.json").exists():
            return self.begin(runs, *words, **named)
        return self.run(runs, "simulate", "--resume", runs / RUN, **named)

    def log(self) -> str:
        """What the forks printed last."""
        return (self.folder / "log").read_text("utf-8")[-2000:]


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    folder = tmp_path_factory.mktemp("forks")
    (folder / "memory").mkdir()
    small.write(folder)
    process = subprocess.Popen(
        [sys.executable, crashing.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield Forks(process, folder)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """Kill a process that leads a session, with all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@dataclass(frozen=True)
class Uninterrupted:
    """What a run makes that nothing stops."""

    run: Path
    steps: tuple[str, ...]
    outcome: dict[str, Any]
    words: tuple[str, ...] = ()
    """Overrides with which it was begun."""


@pytest.fixture(scope="module")
def uninterrupted(forks: Forks) -> Uninterrupted:
    return _whole(forks, forks.folder / "uninterrupted")


MASKED = small.sets(
    *small.CROWD,
    *small.QUICK,
    *("federation.rounds=1", "federation.standardise=false", "data.devices=10"),
)


@pytest.fixture(scope="module")
def masked(forks: Forks) -> Uninterrupted:
    """Under a policy, with evidence of who was in each sum."""
    return _whole(forks, forks.folder / "masked", *MASKED)


@pytest.fixture(scope="module")
def by_messages(forks: Forks) -> Uninterrupted:
    """Device by device: each sum is written down before it is asked for."""
    return _whole(forks, forks.folder / "by-messages", *small.sets("simulation.engine=serial"))


def _whole(forks: Forks, runs: Path, *words: str) -> Uninterrupted:
    answered = forks.begin(runs, *words)
    assert answered["status"] == 0, forks.log()
    found = Uninterrupted(runs / RUN, tuple(answered["steps"]), small.outcome(runs / RUN), words)
    check_ledger(found.run)
    return found


def stage_of(step: str) -> str:
    """The stage of a durable step, told by its path."""
    path = step.partition(" ")[2].removeprefix(small.NAME).removeprefix("/")
    fitting = [
        stage
        for stage, paths in STAGES.items()
        if any(path == each or (each.endswith("/") and path.startswith(each)) for each in paths)
    ]
    assert len(fitting) == 1, f"{step} belongs to {fitting}"
    return fitting[0]


def test_every_durable_step_belongs_to_a_stage_that_is_killed(
    uninterrupted: Uninterrupted, masked: Uninterrupted
) -> None:
    assert {stage_of(step) for step in uninterrupted.steps} == set(STAGES)
    assert {stage_of(step) for step in masked.steps} == set(STAGES)
    for found in (uninterrupted, masked):
        kinds = {step.partition(" ")[0] for step in found.steps}
        assert kinds == {"mkdir", "replace", "append", "unlink", "swap"} - (
            {"unlink"} if found is masked else set()  # of one round both checkpoints are kept
        )


def test_every_file_of_a_ledger_is_among_the_steps(masked: Uninterrupted) -> None:
    steps = {step.rpartition("/")[0] if len(step) > 90 else step for step in masked.steps}
    for each in (
        "append small/ledger/entries.jsonl",
        "replace small/ledger/checkpoint",
        "replace small/ledger/evidence",
        "replace small/ledger/participants",
        "replace small/ledger/rosters",
        "replace small/witness/latest",
        "replace small/witness/witness.key",
        "replace small/roster",
        "replace small/policy",
        "replace small/keys/simulation.key",
        "replace small/keys/reviewer.vkey",
        "replace small/keys/enrolment.pub",
    ):
        assert each in steps


def _kills(found: Uninterrupted, moment: str, *stages: str) -> list[int]:
    """Steps of these stages that have such a moment."""
    killed = [
        number
        for number, step in enumerate(found.steps)
        if stage_of(step) in stages and (moment != "within" or step.partition(" ")[0] in WITHIN)
    ]
    assert killed
    return killed


def _kill(forks: Forks, found: Uninterrupted, folder: Path, number: int, moment: str) -> None:
    """Kill a run at a step, and let it finish."""
    runs = folder / f"{moment}-{number}"
    where = f"{moment} {found.steps[number]}"
    assert forks.begin(runs, *found.words, fatal=number, moment=moment)["status"] == -signal.SIGKILL, where
    _check_device(runs / RUN)
    _finish(forks, runs, found, where)
    shutil.rmtree(runs)


@pytest.mark.parametrize("moment", ONE_QUICKLY)
@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_at_any_durable_step_ends_as_if_it_had_not_been(
    forks: Forks, uninterrupted: Uninterrupted, tmp_path: Path, stage: str, moment: str
) -> None:
    for number in _kills(uninterrupted, moment, stage):
        _kill(forks, uninterrupted, tmp_path, number, moment)


@pytest.mark.parametrize("turn", range(3))
def test_a_masked_run_killed_at_any_step_of_its_ledger_ends_as_if_it_had_not_been(
    forks: Forks, masked: Uninterrupted, tmp_path: Path, turn: int
) -> None:
    """Each step at one of its moments, by turns; all moments in `make test-long`."""
    for number in _kills(masked, "before", *LEDGER_STAGES)[turn::3]:
        moments = MOMENTS if masked.steps[number].partition(" ")[0] in WITHIN else ("before", "after")
        _kill(forks, masked, tmp_path, number, moments[number % len(moments)])


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_masked_run_killed_at_any_durable_step_ends_as_if_it_had_not_been(
    forks: Forks, masked: Uninterrupted, tmp_path: Path, stage: str, moment: str
) -> None:
    for number in _kills(masked, moment, stage):
        _kill(forks, masked, tmp_path, number, moment)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_while_a_half_made_witness_is_cleared_away_leaves_nothing_in_the_way(
    forks: Forks, masked: Uninterrupted, tmp_path: Path, moment: str
) -> None:
    runs = tmp_path / "runs"
    fatal = masked.steps.index("replace small/witness/witness.vkey")
    assert forks.begin(runs, *masked.words, fatal=fatal, moment="after")["status"] == -signal.SIGKILL
    shutil.copytree(runs, tmp_path / "copy")
    (again,) = (
        number
        for number, step in enumerate(forks.go_on(tmp_path / "copy")["steps"])
        if step == "rmtree small/witness"
    )
    assert forks.go_on(runs, fatal=again, moment=moment)["status"] == -signal.SIGKILL
    _finish(forks, runs, masked, f"{moment} a witness is cleared away")


def _check_device(run: Path) -> None:
    """Whatever happened, a device has nothing in use, or a complete verified package."""
    if os.path.lexists(run / "device" / slots.CURRENT):
        slots.self_test(slots.installed(run / "device"))


def _finish(
    forks: Forks, runs: Path, uninterrupted: Uninterrupted, where: str, *, draw: bool = False
) -> None:
    if (runs / RUN / "summary.json").exists():
        assert where == "after replace small/summary.json"
    else:
        answered = forks.go_on(runs, *uninterrupted.words, draw=draw)
        assert answered["status"] == 0, f"{where}: {forks.log()}"
    assert small.outcome(runs / RUN) == uninterrupted.outcome, where
    check_book(runs / RUN, uninterrupted)


def test_a_run_killed_again_and_again_ends_as_if_it_had_not_been(
    forks: Forks, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    statuses: list[int] = []
    for fatal in range(9, 90, 9):
        moment = MOMENTS[2 * (len(statuses) % 2)]
        statuses.append(forks.go_on(runs, fatal=fatal, moment=moment)["status"])
        _check_device(runs / RUN)
        if statuses[-1] == 0:
            break
    assert statuses[-1] == 0, forks.log()
    assert statuses[:-1].count(-signal.SIGKILL) == len(statuses) - 1 >= 3
    assert small.outcome(runs / RUN) == uninterrupted.outcome
    check_book(runs / RUN, uninterrupted)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_while_a_used_slot_is_replaced_leaves_the_other_in_use(
    forks: Forks, uninterrupted: Uninterrupted, tmp_path: Path, moment: str
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(uninterrupted.run.parent, runs, symlinks=True)
    for _ in range(2):  # slot B is filled; then slot A is replaced
        (runs / RUN / "summary.json").unlink()
        steps = forks.go_on(runs)["steps"]
    (runs / RUN / "summary.json").unlink()
    in_use = (runs / RUN / "device" / slots.CURRENT).readlink()
    assert str(in_use) == slots.SLOTS[0]
    before = tmp_path / "before"
    shutil.copytree(runs, before, symlinks=True)
    for kind in ("rmtree", "swap"):
        shutil.rmtree(runs)
        shutil.copytree(before, runs, symlinks=True)
        fatal = next(number for number, step in enumerate(steps) if step.startswith(kind))
        assert forks.go_on(runs, fatal=fatal, moment=moment)["status"] == -signal.SIGKILL
        swapped = kind == "swap" and moment == "after"
        assert ((runs / RUN / "device" / slots.CURRENT).readlink() != in_use) is swapped
        _check_device(runs / RUN)
    _finish(forks, runs, uninterrupted, f"{moment} a slot is replaced")


def test_what_is_exported_and_drawn_after_a_crash_is_what_would_have_been(
    forks: Forks, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    fatal = uninterrupted.steps.index("replace small/small.covey")
    assert forks.begin(runs, fatal=fatal, moment="within")["status"] == -signal.SIGKILL
    keys = {path.name: path.read_bytes() for path in (runs / RUN / "keys").iterdir()}
    assert forks.go_on(runs, remember=False, draw=True)["status"] == 0, forks.log()
    assert small.outcome(runs / RUN) == uninterrupted.outcome
    assert {path.name: path.read_bytes() for path in (runs / RUN / "keys").iterdir()} == keys
    files, expected = (
        {
            name: content
            for name, content in small.packaged(run).files.items()
            if name.endswith(".onnx") or name.startswith("golden/")
        }
        for run in (runs / RUN, uninterrupted.run)
    )
    assert files == expected
    assert (runs / RUN / "report.html").read_text("utf-8").count("<svg") > 0


def test_a_half_written_line_is_dropped_and_only_it(
    forks: Forks, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    fatal = [n for n, step in enumerate(uninterrupted.steps) if step == "append small/metrics.jsonl"][-1]
    forks.begin(runs, fatal=fatal, moment="within")
    torn = (runs / RUN / "metrics.jsonl").read_bytes()
    assert torn.count(b"\n") == 1
    assert not torn.endswith(b"\n")
    assert forks.go_on(runs)["status"] == 0
    asked = [(row["round"], row["kind"]) for row in reserved(runs / RUN)]
    round_2 = [(2, "train"), (2, "validate")]
    round_1 = [(0, "statistics"), (1, "train"), (1, "validate")]
    assert asked == [*round_1, *round_2, *round_2, (2, "calibrate")]  # round 2 twice


def _append(found: Uninterrupted, place: int) -> int:
    """The step that appends to the ledger for the n-th time: the roster, then reserves and ends in turn."""
    return [n for n, step in enumerate(found.steps) if step == "append small/ledger/entries.jsonl"][place]


def test_a_half_written_reserve_was_not_made_and_its_number_is_free(
    forks: Forks, by_messages: Uninterrupted, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    forks.begin(runs, *by_messages.words, fatal=_append(by_messages, 5), moment="within")
    torn = (runs / RUN / "ledger/entries.jsonl").read_bytes()
    assert torn.count(b"\n") == 5  # the third sum's reserve is torn: nobody was asked
    assert not torn.endswith(b"\n")
    assert forks.go_on(runs)["status"] == 0
    assert (runs / RUN / "ledger/entries.jsonl").read_bytes().startswith(torn[: torn.rindex(b"\n") + 1])
    asked = [(row["sum"], row["round"], row["kind"]) for row in reserved(runs / RUN)]
    assert asked[:3] == [(1, 0, "statistics"), (2, 1, "train"), (3, 1, "train")]


def test_a_reserve_that_was_made_is_paid_though_nobody_was_asked(
    forks: Forks, by_messages: Uninterrupted, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    forks.begin(runs, *by_messages.words, fatal=_append(by_messages, 5), moment="after")
    assert forks.go_on(runs)["status"] == 0
    rows = small.sums(runs / RUN)
    (aborted,) = (row for row in rows if row["event"] == "abort")
    assert (aborted["sum"], aborted["reason"]) == (3, "the server stopped before the sum was opened")
    asked = [(row["sum"], row["round"], row["kind"]) for row in reserved(runs / RUN)]
    assert asked[1:5] == [(2, 1, "train"), (3, 1, "validate"), (4, 1, "train"), (5, 1, "validate")]
    told, whole = (small.summary(run)["privacy"] for run in (runs / RUN, by_messages.run))
    assert told["unopened"] == 1
    assert told["sums"] == whole["sums"] | {"train": 3, "validate": 3}
    assert told["epsilon_server"] > whole["epsilon_server"]
    assert small.outcome(runs / RUN) == by_messages.outcome


def test_a_settle_whose_evidence_alone_is_on_disk_was_not_made(
    forks: Forks, masked: Uninterrupted, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    fatal = next(n for n, step in enumerate(masked.steps) if "ledger/evidence/" in step)
    forks.begin(runs, *masked.words, fatal=fatal, moment="after")
    (left,) = (runs / RUN / "ledger/evidence").iterdir()
    assert forks.go_on(runs)["status"] == 0
    assert [row["event"] for row in small.sums(runs / RUN)] == [
        "reserve",
        "abort",
        *["reserve", "settle"] * 2,
    ]
    named = {each.plan for each in entries_of(runs / RUN) if isinstance(each, Settle)}
    assert left.stem not in named  # nobody claims it


def test_a_head_that_the_witness_alone_has_is_announced_by_the_next_process(
    forks: Forks, masked: Uninterrupted, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    fatal = masked.steps.index("replace small/ledger/checkpoint")
    forks.begin(runs, *masked.words, fatal=fatal, moment="before")
    assert not (runs / RUN / "ledger/checkpoint").exists()
    seen = LocalWitness(runs / RUN / "witness").latest("covey/simulation/small")
    assert seen
    assert claimed(seen, blame="test").size == 3  # the first plan's reserve; it was not sent
    assert forks.go_on(runs)["status"] == 0
    check_ledger(runs / RUN)


def reserved(run: Path) -> list[dict[str, Any]]:
    return [row for row in small.sums(run) if row["event"] == "reserve"]


def entries_of(run: Path) -> list[AnyEntry]:
    return read_entries(RunFolder.open(run).ledger)


def check_ledger(run: Path) -> None:
    """All of it is announced and witnessed, and what it names is on disk and is what it says."""
    files = RunFolder.open(run).ledger
    lines, torn = files.lines()
    data = files.head()
    assert torn == b""
    assert data
    head = claimed(data, blame="test")
    assert (head.size, head.root) == (len(lines), merkle.root(lines))
    assert LocalWitness(run / "witness").latest(head.origin) == data
    found = entries_of(run)
    kinds = [kind_of(each) for each in found]
    assert kinds.count("enrol") == 1
    check_policies(run, kinds.count("run.policy"))
    rosters = {each.roster: files.roster(each.roster) for each in found if isinstance(each, Enrol)}
    assert all(content and sha256(content).hexdigest() == name for name, content in rosters.items())
    for each in found:
        if isinstance(each, Settle) and each.evidence is not None:
            content = files.evidence(each.plan)
            assert content
            assert sha256(content).hexdigest() == each.evidence
            assert files.participants(each.plan)
    figures = [each for each in found if isinstance(each, MetricsRelease)]
    models = [each for each in found if isinstance(each, ModelRelease)]
    assert len({each.sha256 for each in figures}) == len(figures)  # none is written down twice
    assert len({each.package for each in models}) == len(models)
    assert figures[-1].sha256 == sha256((run / "metrics.csv").read_bytes()).hexdigest()
    assert models[-1].package == sha256((run / "small.covey").read_bytes()).hexdigest()


def check_policies(run: Path, entered: int) -> None:
    """Each policy was entered once, and what was asked again had been agreed to.

    An audit finds nothing but evidence of a sum that was opened by a process that died before it said so.
    """
    if not (run / "policy").exists():
        assert entered == 0
        return
    audited = examine(run, Given(), self_check=True)
    aborted = {each.plan for each in entries_of(run) if isinstance(each, Abort)}
    unclaimed = [path for path in (run / "ledger/evidence").iterdir() if path.stem in aborted]
    grave = [each.code for each in audited.findings if each.severity != "note"]
    assert grave == ["evidence-of-aborted"] * len(unclaimed)
    assert [each.policy.serial for each in audited.policies] == list(range(1, entered + 1))
    assert entered >= 1


def check_book(run: Path, uninterrupted: Uninterrupted) -> None:
    """Every number was used once, every sum has one end, and what is claimed counts all of them."""
    check_ledger(run)
    rows = small.sums(run)
    numbers = [row["sum"] for row in rows if row["event"] == "reserve"]
    assert numbers == list(range(1, len(numbers) + 1))
    ends = [row["sum"] for row in rows if row["event"] != "reserve"]
    assert sorted(ends) == numbers
    whole, told = (small.summary(each)["privacy"] for each in (uninterrupted.run, run))
    again = len(numbers) > len(reserved(uninterrupted.run))
    for view in ("server", "release"):
        before, after = (each[f"epsilon_{view}"] for each in (whole, told))
        assert (after > before) if again else (after == before)
        expected = recomputed(rows, told["delta"], view)
        assert -1e-6 * expected <= after - expected <= 0.001 + 1e-6 * expected  # rounded up to three digits


def _killed_at(times: Sequence[float], begin: Sequence[str], resume: Sequence[str], folder: Path) -> int:
    """Kill a real process so many seconds after each start, then let it finish; returns how often it hit."""
    hits = 0
    for seconds in times:
        run = folder / "runs" / ("demo" if begin[0] == "demo" else small.NAME)
        arguments = resume if (run / "run.json").exists() else begin
        if (run / "summary.json").exists():
            break
        with (folder / "log").open("a") as log:
            process = subprocess.Popen(
                [small.command(), *arguments],
                cwd=folder,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            hits += 1
        finally:
            _end(process)
        _check_device(run)
    return hits


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3))
def test_a_real_simulation_killed_at_random_times_ends_as_if_it_had_not_been(
    uninterrupted: Uninterrupted, tmp_path: Path, seed: int
) -> None:
    begin = ["simulate", str(small.write(tmp_path))]
    resume = ["simulate", "--resume", str(Path("runs") / RUN)]
    rng = random.Random(seed)
    hits = _killed_at([rng.uniform(1, 5) for _ in range(6)], begin, resume, tmp_path)
    assert hits >= 2
    if not (tmp_path / "runs" / RUN / "summary.json").exists():
        again = resume if (tmp_path / "runs" / RUN / "run.json").exists() else begin
        assert small.covey(*again, cwd=tmp_path).returncode == 0
    found = small.outcome(tmp_path / "runs" / RUN)
    assert found == uninterrupted.outcome


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_demo_killed_ten_times_gives_the_model_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    started = time.monotonic()
    assert _demo(whole) == 0
    taken = time.monotonic() - started
    rng = random.Random(0)
    # each restart imports for some seconds before it trains on
    times = [rng.uniform(0.05, 0.25) * taken for _ in range(10)]
    hits = _killed_at(times, ["demo"], ["demo", "--resume"], killed)
    if not is_over(killed / "runs" / "demo"):
        resumed = (killed / "runs" / "demo" / "run.json").exists()
        assert _demo(killed, *(["--resume"] if resumed else [])) == 0
    assert hits >= 3  # fewer only if the machine became much faster half-way
    assert small.outcome(killed / "runs" / "demo") == small.outcome(whole / "runs" / "demo")


def _demo(folder: Path, *arguments: str) -> int:
    process = subprocess.Popen(
        [small.command(), "demo", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        return process.wait(1200)
    finally:
        _end(process)
