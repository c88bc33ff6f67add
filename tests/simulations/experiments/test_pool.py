"""Runs in a process of their own are those that this process makes; what goes wrong there is told here."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from covey_simulations.experiments.jobs import Failed, Job, Told
from covey_simulations.experiments.pool import Pool, Worker
from small_sweep import FEDERATION, carried_out, sweeping

SHORT = FEDERATION | {"federation": FEDERATION["federation"] | {"rounds": 2}}


def test_a_process_makes_the_same_runs(tmp_path: Path) -> None:
    here = carried_out(tmp_path / "here", base=SHORT, seeds=[0])
    work = sweeping(tmp_path / "there", base=SHORT, seeds=[0])
    work.begin(retry=False)
    with Pool(1, tmp_path / "workers.log") as pool:
        work.carry_out(pool)
        workers = pool.workers
    models = [
        [record.summary.model_sha256 for record in folder.records().values()]
        for folder in (here, work.folder)
    ]
    assert models[0] == models[1]
    assert len(models[0]) == 2
    assert all(worker.process.poll() is not None for worker in workers)
    assert (tmp_path / "workers.log").read_text() == ""  # Flower is quiet there too
    for record in work.folder.records().values():
        assert 0 < record.resources.cpu_seconds < 120
        assert 100 < record.resources.peak_memory_mb < 5000


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", "its process was killed"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})", "its process ended with signal 11"),
        ("import sys; sys.exit(3)", "its process ended with status 3"),
    ],
)
def test_a_process_that_dies_is_told_from_one_that_ends(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program in the worker's place, which dies at once."""
    real = subprocess.Popen

    def other(_words: object, **options: object) -> object:
        return real([sys.executable, "-c", code], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", other)
    (run, *_) = sweeping(tmp_path, base=SHORT).runs
    told: list[Told] = []
    with Pool(1, tmp_path / "workers.log") as pool:
        pool.carry_out(
            [Job(file=run.file, folder=str(tmp_path / run.name))] * 2, lambda _, each: told.append(each)
        )
        assert pool.workers == []
    assert [each.message.startswith(said) for each in told if isinstance(each, Failed)] == [True, True]
    assert "workers.log" in told[0].hint if isinstance(told[0], Failed) else False


def test_a_worker_whose_caller_is_gone_goes_too(tmp_path: Path) -> None:
    worker = Worker.start(tmp_path / "workers.log")
    worker.link.close()
    assert worker.process.wait(60) == 0
