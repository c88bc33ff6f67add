"""What a server can learn from an answer that went wrong: nothing that depends on the data."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message
from numpy.typing import NDArray

from covey.plan import Validate
from covey_client.app import NOT_SET_UP, REFUSED, build, device_of_node
from covey_models.registry import find
from covey_models.training import initial
from covey_simulations.grid import InProcessGrid
from covey_strategies.asking import Asking, Question
from covey_strategies.queries import validate
from covey_strategies.queries.device import Device
from covey_strategies.wire import read_answer

MODEL = find("digits")
NODES = (2, 3)


def asked() -> Question:
    asking = Asking("run", MODEL, seed=0, minimum=2, size=0, preprocessing=None, witness=lambda *_: None)
    task = Validate(64)
    return asking.question(1, task, validate.parts(task, 10, 2), initial(MODEL, 0), NODES)


def images(n: int = 8) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((n, 1, 8, 8)).astype(np.float32)


def answer_of(config: dict[str, bool | float | int | str]) -> Message:
    """What the real app, set up by a node's configuration, sends back."""

    def device_of(context: Context) -> Device:
        context.node_config = config
        return device_of_node(context)

    grid = InProcessGrid(build(device_of), NODES)
    return next(iter(grid.send_and_receive(asked().messages()[:1])))


def saved(path: Path, x: NDArray[np.float32], y: list[int]) -> Path:
    np.savez(path, x=x, y=np.array(y))
    return path


def bad_files(folder: Path) -> dict[str, Path]:
    nan = images()
    nan[3] = np.nan
    (folder / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    return {
        "not finite": saved(folder / "alice-ward7.npz", nan, [0] * 8),
        "labels out of range": saved(folder / "bob.npz", images(), [0, 11] * 4),
        "another shape": saved(folder / "carol.npz", images()[:, :, :4], [0] * 8),
        "one example": saved(folder / "dave.npz", images(1), [0]),
        "no file": folder / "missing.npz",
        "not an archive": folder / "torn.npz",
    }


@pytest.mark.parametrize(
    "case", ["not finite", "labels out of range", "another shape", "one example", "no file", "not an archive"]
)
def test_data_that_cannot_be_read_is_answered_with_zeros_and_told_to_the_owner_only(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bad_files(tmp_path)[case]
    reply = answer_of({"model": "digits", "data": str(path)})
    question = asked()
    vector = read_answer(reply, question.plan, reply.content["answer"]["plan"])  # type: ignore[arg-type]
    assert not vector.any()
    assert path.stem not in str(reply)
    assert "contributed nothing" in capsys.readouterr().err


def test_good_data_is_answered_with_counts(tmp_path: Path) -> None:
    reply = answer_of({"model": "digits", "data": str(saved(tmp_path / "ok.npz", images(), [1] * 8))})
    vector = read_answer(reply, asked().plan, reply.content["answer"]["plan"])  # type: ignore[arg-type]
    assert vector.any()


@pytest.mark.parametrize(
    "config",
    [{}, {"model": "digits"}, {"model": "hiv-screening", "data": "/home/alice/clinic.npz"}],
    ids=["nothing", "no data", "no such model"],
)
def test_a_node_that_is_not_set_up_says_a_constant(
    config: dict[str, bool | float | int | str], capsys: pytest.CaptureFixture[str]
) -> None:
    reply = answer_of(config)
    assert (reply.error.code, reply.error.reason) == (REFUSED, NOT_SET_UP)
    assert "covey: " in capsys.readouterr().err


def test_a_log_that_cannot_be_written_does_not_change_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stderr.write", full)
    reply = answer_of({"model": "digits", "data": str(tmp_path / "missing.npz")})
    vector = read_answer(reply, asked().plan, reply.content["answer"]["plan"])  # type: ignore[arg-type]
    assert not vector.any()
