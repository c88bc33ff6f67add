"""The training worker as a process of its own, and what the agent makes of one that dies."""

import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from agents import device_toml
from covey import plan as plans
from covey.delivery import to_arrays
from covey.encode import Integers
from covey.errors import PlanRefused, ProtocolError
from covey.plan import Plan
from covey_client.configuration import read
from covey_client.in_process import InProcess
from covey_client.limits import Outcome
from covey_client.training_child import TrainingChild
from covey_client.worker import device_of
from digits_fleet import TRAIN, VALIDATE, crowd, parameters, plan_of, question

COINS = bytes(32)
NODES = list(crowd().devices)


def images(n: int = 8) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((n, 1, 8, 8)).astype(np.float32)


def saved(path: Path, x: NDArray[np.float32], y: list[int]) -> Path:
    np.savez(path, x=x, y=np.array(y))
    return path


def worker(config: Path, log: list[str]) -> TrainingChild:
    return TrainingChild((sys.executable, "-m", "covey_client.worker", str(config)), log.append)


def answer(trainer: TrainingChild | InProcess, plan: Plan) -> Integers:
    with trainer.prepared(plan, to_arrays(parameters())) as prepared:
        return prepared.answer(COINS)


def plan(task: object = VALIDATE) -> Plan:
    return plan_of(question(task, NODES, minimum=8))  # type: ignore[arg-type]


def test_a_worker_answers_as_the_same_device_does_in_one_process(tmp_path: Path) -> None:
    config = device_toml(tmp_path, saved(tmp_path / "ok.npz", images(), [1] * 8))
    here, told = InProcess(device_of(read(config))), list[str]()
    assert np.array_equal(answer(worker(config, told), plan()), answer(here, plan()))
    assert answer(here, plan()).any()
    assert told == []


BAD = ["not finite", "labels out of range", "another shape", "one example", "no file", "not an archive"]


@pytest.mark.parametrize("case", BAD)
def test_data_that_cannot_be_read_is_answered_with_zeros_and_told_to_the_owner_only(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nan = images()
    nan[3] = np.nan
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    path = {
        "not finite": lambda: saved(tmp_path / "alice-ward7.npz", nan, [0] * 8),
        "labels out of range": lambda: saved(tmp_path / "bob.npz", images(), [0, 11] * 4),
        "another shape": lambda: saved(tmp_path / "carol.npz", images()[:, :, :4], [0] * 8),
        "one example": lambda: saved(tmp_path / "dave.npz", images(1), [0]),
        "no file": lambda: tmp_path / "missing.npz",
        "not an archive": lambda: tmp_path / "torn.npz",
    }[case]()
    assert not answer(worker(device_toml(tmp_path, path), []), plan()).any()
    assert "contributed nothing" in capfd.readouterr().err


def test_a_plan_that_does_not_fit_is_refused_with_the_workers_reason(tmp_path: Path) -> None:
    config = device_toml(tmp_path, saved(tmp_path / "ok.npz", images(), [1] * 8))
    other = msgspec.structs.replace(plan(), model="wrist")
    with pytest.raises(PlanRefused, match="the plan is for model wrist, this device has digits"):
        answer(worker(config, []), other)


@pytest.mark.parametrize(
    "script", ["", "import sys; sys.stdout.write('no frame')", "import time; time.sleep(0.1)"]
)
def test_a_worker_that_is_gone_before_it_is_ready_refuses_nothing(script: str) -> None:
    """The agent says its constant: nothing was reserved."""
    child = TrainingChild((sys.executable, "-c", script), list[str]().append)
    with pytest.raises((ProtocolError, OSError)) as caught:
        answer(child, plan())
    assert getattr(caught.value, "blame", "local") != "server"


READY = """
import sys
from covey_client import frames, working
frames.read(sys.stdin.buffer, blame="agent")
frames.write(sys.stdout.buffer, working.encode(working.Ready()))
frames.read(sys.stdin.buffer, blame="agent")
"""


@pytest.mark.parametrize(
    "end",
    [
        "sys.exit(1)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "frames.write(sys.stdout.buffer, working.encode(working.Vector(b'12345678')))",
        "frames.write(sys.stdout.buffer, working.encode(working.Ready()))",
        "sys.stdout.buffer.write(b'\\xff' * 100)",
    ],
    ids=["exit", "killed", "another length", "another answer", "no frame"],
)
def test_a_worker_that_fails_once_budget_is_reserved_is_a_zero_vector(end: str) -> None:
    """An error, or silence, would tell the server something about the data."""
    told: list[str] = []
    vector = answer(TrainingChild((sys.executable, "-c", READY + end), told.append), plan(TRAIN))
    assert vector.shape == (plan(TRAIN).length,)
    assert not vector.any()
    (line,) = told
    assert line.startswith("round 1: contributed nothing: ")


def test_no_worker_is_left(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    script = READY + f"import time; open({str(mark)!r}, 'w').close(); time.sleep(60)"
    child = TrainingChild((sys.executable, "-c", script), list[str]().append)
    with child.prepared(plan(), to_arrays(parameters())) as prepared:
        process = prepared.process
    assert process.wait(10).outcome is Outcome.KILLED


def test_the_plan_goes_as_its_bytes() -> None:
    assert plans.from_bytes(plans.to_bytes(plan())) == plan()
