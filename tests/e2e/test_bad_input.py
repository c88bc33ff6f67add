"""What cannot be used is refused in one line that names it and the next step; nothing is overwritten.

Most commands run in this process, by the same entry point; signals and locks take real ones.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import small_federation as small
from covey.errors import RoundAborted
from covey_cli.main import run
from covey_server.coordinator import Coordinator

QUICK = small.sets(*small.QUICK)
CANNOT_GO_ON = 1
BAD_INPUT = 2
STOPPED = 130

INTERRUPTIBLE = ("env", "--default-signal=INT")
"""Tests that a shell runs in the background inherit an ignored SIGINT, and so would what they start."""

MODEL = """
import torch
from torch import nn
from covey_models.model import Model


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x):
        {forward}


MODEL = Model(
    name="mine",
    summary="Tells two things apart.",
    input_shape=(1, 4),
    input_units="none",
    input_bound=1000.0,
    labels=("no", "yes"),
    build=Net,
    licence="Apache-2.0",
    source="a test",
)
"""

OWN_DATA = """
name = "small"

[model]
file = "mine.py"

[data]
source = "folder"
path = "homes"

[federation]
rounds = 2
validate_every = 1
standardise = false

[privacy]
masks = false
noise = false

[central]
epochs = 1

[release]
int8 = false
"""


@dataclass(frozen=True)
class Terminal:
    """Runs commands in this process and keeps what they printed."""

    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str | Path) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        self.capsys.readouterr()
        status = run([str(word) for word in words])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    def refused(self, expected: int, *words: str | Path) -> str:
        """The one line that a command is refused with."""
        status, _, errors = self.run(*words)
        return one_line(status, expected, errors)


def one_line(status: int, expected: int, errors: str) -> str:
    """The one line on standard error of a command that is not a bug."""
    assert status == expected, errors
    assert errors.startswith("covey: ")
    assert errors.count("\n") == 1
    assert errors.endswith("\n")
    assert "Traceback" not in errors
    assert "\x1b" not in errors
    return errors.strip()


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COVEY_DEBUG", raising=False)
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    small.write(tmp_path)
    return Terminal(capsys)


Tree = dict[Path, str]


def tree(folder: Path) -> Tree:
    """Digest of every file below a folder, but for locks."""
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


@contextmanager
def untouched(folder: Path) -> Iterator[None]:
    """Every file below a folder is what it was."""
    before = tree(folder)
    assert before
    yield
    assert tree(folder) == before


# The federation's file


@pytest.mark.parametrize(
    ("override", "key", "expectation"),
    [
        ("federation.roundz=3", "federation.roundz", "unknown key; did you mean rounds?"),
        ("fedaration.rounds=3", "fedaration", "unknown key; did you mean federation?"),
        ("federation.rounds=three", "federation.rounds", "expected `int`"),
        ("federation.rounds=0", "federation.rounds", "`int` >= 1"),
        ("federation.minimum_devices=1", "federation", "minimum_devices is 0, or at least 2"),
        ("privacy.masks=maybe", "privacy.masks", "invalid"),
        ("privacy.epsilonn=3", "privacy.epsilonn", "unknown key; did you mean epsilon?"),
        ("privacy.epsilon=0", "privacy.epsilon", "`float` > 0"),
        ("privacy.unit=person", "privacy.unit", "invalid enum value 'person'"),
        ("training.momentum=1.0", "training.momentum", "`float` < 1.0"),
        ("training.learning_rate=-0.1", "training.learning_rate", "`float` > 0"),
        ("strategy.name=fedsgd", "strategy.name", "invalid enum value 'fedsgd'"),
        ("federation=2", "federation", "expected `object`"),
        ("seed=-1", "seed", "`int` >= 0"),
        ("name=Up/../here", "name", "expected `str`"),
    ],
)
def test_a_wrong_value_is_named_by_file_key_and_expectation(
    terminal: Terminal, tmp_path: Path, override: str, key: str, expectation: str
) -> None:
    line = terminal.refused(BAD_INPUT, "simulate", "small.toml", "--set", override)
    assert line.startswith(f"covey: small.toml: {key}: ")
    assert expectation in line
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


def test_what_is_wrong_in_the_file_itself_is_named_alike(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "typed.toml"
    path.write_text(small.TOML.replace("validate_every", "validate_evry"), "utf-8")
    line = terminal.refused(BAD_INPUT, "simulate", "typed.toml")
    assert line == "covey: typed.toml: federation.validate_evry: unknown key; did you mean validate_every?"
    path.write_text(small.TOML.replace("[model]\n", ""), "utf-8")
    assert terminal.refused(BAD_INPUT, "simulate", "typed.toml").startswith("covey: typed.toml: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["absent.toml"], "absent.toml: no such file -> give the path of a TOML file"),
        (["."], ".: cannot be read: "),
        (["noise.toml"], "noise.toml: not valid TOML: "),
        (["bytes.toml"], "bytes.toml: cannot be read: "),
        ([], "which federation? -> covey simulate FILE.toml"),
        (["small.toml", "--set", "rounds"], "--set: rounds: expected key=value"),
        (["small.toml", "--set", "seed.x=1"], "--set: seed.x: seed is a value, not a table"),
        (["small.toml", "--seed", "-1"], "Invalid value for '--seed'"),
        (["small.toml", "--rounds", "3"], "No such option"),
        (["small.toml", "--runs", "small.toml"], "small.toml"),
    ],
)
def test_a_file_or_an_option_that_cannot_be_used(
    terminal: Terminal, tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "noise.toml").write_text("a = = b")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with untouched(tmp_path):
        line = terminal.refused(BAD_INPUT, "simulate", *words)
    assert said in line


# Privacy

ONE_OF_THREE = "say how much noise: epsilon = 8, or multipliers, or noise = false for an experiment"
SILENT = re.sub(r"(?m)^[a-z]+_multiplier", "# ", small.TOML)


def test_how_much_noise_must_be_said(terminal: Terminal, stopped: Path, tmp_path: Path) -> None:
    (tmp_path / "silent.toml").write_text(SILENT, "utf-8")
    with untouched(stopped.parent):  # the earlier run of that name is not even moved
        line = terminal.refused(BAD_INPUT, "simulate", "silent.toml")
    assert line == f"covey: [privacy]: epsilon: {ONE_OF_THREE}"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["privacy.epsilon=3"], ONE_OF_THREE),
        (["privacy.masks=true"], "3 devices in a sum do not hide one another, masks need 10 -> ask more"),
        ([*small.CROWD, "federation.minimum_devices=5"], "minimum"),
        ([*small.CROWD, "privacy.dropouts=0.9"], "lower dropouts to "),
        ([*small.CROWD, "privacy.train_multiplier=0.001"], "no policy promises more than 1000 -> raise"),
        ([*small.CROWD, "privacy.delta=0.2"], "delta"),
        (["privacy.unit=example"], "[training]: gradient_clip: "),
        (["privacy.unit=example", "training.gradient_clip=1.0"], "[training]: expected_batch: "),
    ],
)
def test_privacy_that_cannot_be_had_is_said_before_anything_is_touched(
    terminal: Terminal, stopped: Path, overrides: list[str], said: str
) -> None:
    with untouched(stopped.parent):
        assert said in terminal.refused(BAD_INPUT, "simulate", "small.toml", *small.sets(*overrides))


# Models


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model.file=mine.py"], "[model]: name or file: give one of them"),
        (["model.name="], "[model]: name or file: give one of them"),
        (["model.name=nope"], "no model 'nope' -> models: breast-cancer, digits,"),
        (["model.name=", "model.file=absent.py"], "no model file absent.py"),
        (["model.name=", "model.file=empty.py"], "empty.py defines no MODEL -> define MODEL ="),
        (["model.name=", "model.file=other.py"], "other.py defines MODEL of type int -> define MODEL ="),
        (["model.name=", "model.file=fails.py"], "fails.py failed: ZeroDivisionError"),
        (["model.name=wrist-motion"], "inputs of shape (1, 8, 8) in digits, wrist-motion takes (6, 100) ->"),
        (["model.name=", "model.file=mine.py"], "inputs of shape (1, 8, 8) in digits, mine takes (1, 4) ->"),
        (["model.name=", "model.file=broken.py"], "broken.py"),
    ],
)
def test_a_model_that_cannot_be_used(
    terminal: Terminal, tmp_path: Path, overrides: list[str], said: str
) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "other.py").write_text("MODEL = 3\n")
    (tmp_path / "fails.py").write_text("1 / 0\n")
    (tmp_path / "mine.py").write_text(MODEL.format(forward="return self.linear(x.flatten(1))"))
    (tmp_path / "broken.py").write_text(MODEL.format(forward="return x.nothing"))
    line = terminal.refused(BAD_INPUT, "simulate", "small.toml", *small.sets(*overrides))
    assert not (tmp_path / "runs" / "small").exists()
    assert said in line or (said == "broken.py" and "mine" in line)


# Data


@pytest.mark.parametrize(
    ("overrides", "named", "step"),
    [
        (
            ["data.source=fashion-mnist", "data.path=gone", "model.name=image-cnn"],
            "gone/train-images-idx3-ubyte.gz",
            "sudo apt install dataset-fashion-mnist",
        ),
        (
            ["data.source=wrist", "data.path=gone.npy", "data.partition=natural", "model.name=wrist-motion"],
            "gone.npy",
            "pip install 'covey[sim]'",
        ),
        (["data.source=folder", "data.path=gone"], "gone: 0 .npz files", "write one file per device"),
        (["data.source=folder"], "data.path: empty", "name the folder"),
        (["data.devices=5000"], "5000 devices", "set data.devices to 120 or less"),
        (["data.partition=natural"], "data.partition", "choose one of: iid, dirichlet, time"),
    ],
)
def test_data_that_is_missing_is_named_with_what_provides_it(
    terminal: Terminal, stopped: Path, overrides: list[str], named: str, step: str
) -> None:
    with untouched(stopped.parent):  # the earlier run of that name is not even moved
        line = terminal.refused(BAD_INPUT, "simulate", "small.toml", *small.sets(*overrides))
    what, _, following = line.partition(" -> ")
    assert named in what
    assert step in following


def own_data(folder: Path, *, forward: str = "return self.linear(x.flatten(1))") -> dict[str, Path]:
    """Three homes with a file each, a model of one's own and its federation; returns the homes' files."""
    (folder / "mine.py").write_text(MODEL.format(forward=forward))
    (folder / "own.toml").write_text(OWN_DATA)
    homes = folder / "homes"
    homes.mkdir()
    rng = np.random.default_rng(0)
    paths = {}
    for name in ("attic", "cellar", "kitchen"):
        y = np.arange(40) % 2
        x = rng.normal(size=(40, 1, 4)) + 2 * y[:, None, None]
        paths[name] = homes / f"{name}.npz"
        np.savez(paths[name], x=x, y=y)
    return paths


def with_inputs(path: Path, value: float) -> None:
    """Put a value into each of a home's inputs."""
    with np.load(path) as stored:
        x, y = stored["x"], stored["y"]
    x[:, 0, 0] = value
    np.savez(path, x=x, y=y)


def test_a_device_whose_data_is_not_finite_is_refused_by_name(terminal: Terminal, tmp_path: Path) -> None:
    paths = own_data(tmp_path)
    with_inputs(paths["cellar"], np.nan)
    line = terminal.refused(BAD_INPUT, "simulate", "own.toml")
    assert line.startswith("covey: homes/cellar.npz: x: 40 values are not finite")


def test_a_device_whose_training_fails_tells_its_own_log_and_the_others_go_on(
    terminal: Terminal, tmp_path: Path
) -> None:
    # a network that answers NaN where an input is out of a sensor's range
    forward = 'return self.linear(torch.where(x.abs() > 50.0, float("nan"), x).flatten(1))'
    paths = own_data(tmp_path, forward=forward)
    with_inputs(paths["cellar"], 100.0)
    status, out, errors = terminal.run("simulate", "own.toml")
    assert (status, errors) == (0, "")
    assert out.splitlines()[-1] == "runs/small/report.html"
    run_folder = tmp_path / "runs" / "small"
    assert [path.name for path in (run_folder / "devices").iterdir()] == ["cellar.log"]
    lines = (run_folder / "devices" / "cellar.log").read_text().splitlines()
    assert lines[0].startswith("round 1: contributed nothing: ")
    assert "cellar" in (run_folder / "report.html").read_text()

    told = small.outcome(run_folder)
    assert told["summary"]["devices"] == 3  # nobody can see who had nothing to say
    rounds = told["rounds"]
    assert [row["refused"] for row in rounds] == [0, 0]
    assert all(0 < row["loss"] < 2 for row in rounds)
    assert all(0 <= row["accuracy"] <= 1 for row in rounds)


def test_a_run_in_which_every_device_fails_ends_in_one_line(terminal: Terminal, tmp_path: Path) -> None:
    forward = 'y = self.linear(x.flatten(1)); return y * float("nan") if self.training else y'
    own_data(tmp_path, forward=forward)
    line = terminal.refused(CANNOT_GO_ON, "simulate", "own.toml")
    assert line.startswith("covey: no device ")
    assert " -> " in line
    logs = sorted((tmp_path / "runs" / "small" / "devices").iterdir())
    assert [path.stem for path in logs] == ["attic", "cellar", "kitchen"]


@pytest.mark.parametrize("name", ["mine.py", "homes/cellar.npz"])
def test_a_run_whose_model_or_data_changed_is_not_gone_on_with(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    own_data(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Coordinator, "_train", up_to(1))
        terminal.refused(CANNOT_GO_ON, "simulate", "own.toml")
    if name.endswith(".py"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "\n# another\n")
    else:
        with_inputs(tmp_path / name, 0.25)
    with untouched(tmp_path / "runs"):
        line = terminal.refused(CANNOT_GO_ON, "simulate", "--resume", "runs/small")
    assert line.startswith(f"covey: runs/small: changed since the run began: {name} -> ")


def test_too_few_devices_are_told_with_what_to_change(terminal: Terminal) -> None:
    line = terminal.refused(
        CANNOT_GO_ON, "simulate", "small.toml", *QUICK, "--set", "federation.minimum_devices=14"
    )
    what, _, following = line.partition(" -> ")
    assert what == "covey: 3 devices are connected, the minimum is 14"
    assert "lower federation.minimum_devices" in following


# Runs that are there


def up_to(last: int) -> Callable[..., Any]:
    """Training that fails after a round, in the place of `Coordinator._train`."""
    train = Coordinator._train

    def limited(self: Coordinator, strategy: Any, server_round: int, parameters: Any) -> Any:
        if server_round > last:
            raise RoundAborted("the fleet went to sleep")
        return train(self, strategy, server_round, parameters)

    return limited


@pytest.fixture(scope="module")
def half_way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.toml and runs/small, stopped after round 2 of 4."""
    folder = tmp_path_factory.mktemp("half")
    small.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(Coordinator, "_train", up_to(2))
        assert run(["simulate", "small.toml", *QUICK, "--set", "federation.rounds=4"]) == CANNOT_GO_ON
    assert [path.name for path in sorted((folder / "runs/small/checkpoints").iterdir())] == [
        "round-000001.ckpt",
        "round-000002.ckpt",
    ]
    return folder


@pytest.fixture(scope="module")
def four_rounds(half_way: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The model of that run when nothing stops it."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = half_way / "runs" / "small" / "config.toml"
        assert run(["simulate", str(config)]) == 0
    return str(small.summary(folder / "runs" / "small")["model_sha256"])


@pytest.fixture
def stopped(half_way: Path, terminal: Terminal, tmp_path: Path) -> Path:
    """A copy of it in the folder the test works in; `runs/small`."""
    del terminal  # has changed the folder
    shutil.copytree(half_way / "runs", tmp_path / "runs")
    return tmp_path / "runs" / "small"


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_can_be_used(
    terminal: Terminal, stopped: Path, four_rounds: str, damage: str
) -> None:
    path = stopped / "checkpoints" / "round-000002.ckpt"
    content = path.read_bytes()
    half = len(content) // 2
    flipped = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
    path.write_bytes({"cut": content[:half], "flipped": flipped, "empty": b"", "text": b"hello"}[damage])
    with untouched(stopped):
        line = terminal.refused(CANNOT_GO_ON, "simulate", "--resume", "runs/small")
    assert "runs/small/checkpoints/round-000002.ckpt is damaged" in line
    assert "remove it to go on from the checkpoint before it" in line

    if damage == "flipped":
        path.unlink()
        assert terminal.run("simulate", "--resume", "runs/small")[0] == 0
        assert small.outcome(stopped)["summary"]["model_sha256"] == four_rounds
        assert [row["round"] for row in small.rows(stopped / "metrics.jsonl")] == [1, 2, 3, 4]


def test_a_checkpoint_of_another_configuration_is_refused(terminal: Terminal, stopped: Path) -> None:
    words = ["small.toml", *QUICK, "--runs", "other", "--set", "federation.rounds=1"]
    assert terminal.run("simulate", *words)[0] == 0
    shutil.copy(
        Path("other/small/checkpoints/round-000001.ckpt"), stopped / "checkpoints" / "round-000003.ckpt"
    )
    with untouched(stopped):
        line = terminal.refused(CANNOT_GO_ON, "simulate", "--resume", "runs/small")
    assert "round-000003.ckpt belongs to another configuration" in line


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_a_run_whose_configuration_is_not_its_own_is_refused(
    terminal: Terminal, stopped: Path, change: str
) -> None:
    config = stopped / "config.toml"
    config.write_text(config.read_text().replace("seed = 3", "seed = 4"))
    if change == "removed":
        config.unlink()
    with untouched(stopped):
        line = terminal.refused(CANNOT_GO_ON, "simulate", "--resume", "runs/small")
    assert line == (
        "covey: runs/small/config.toml was changed or removed since the run began"
        " -> start a new run from it, or put the original back"
    )


@pytest.mark.parametrize("name", ["metrics.jsonl", "ledger/entries.jsonl", "run.json", "origin.json"])
def test_a_damaged_record_is_named(terminal: Terminal, stopped: Path, name: str) -> None:
    path = stopped / name
    path.write_bytes(b"{]\n" + path.read_bytes())
    with untouched(stopped):
        line = terminal.refused(CANNOT_GO_ON, "simulate", "--resume", "runs/small")
    assert f"runs/small/{name} is damaged" in line


LEDGER = "runs/small/ledger"


def cut(path: Path) -> None:
    """Take the last two lines away."""
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:-3]) + b"\n")


def bend(path: Path) -> None:
    """Change a byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "harm", "said"),
    [
        (
            "ledger/entries.jsonl",
            cut,
            f"{LEDGER}/entries.jsonl is not what {LEDGER}/checkpoint was announced",
        ),
        ("ledger/entries.jsonl", Path.unlink, f"{LEDGER}/entries.jsonl is not what {LEDGER}/checkpoint was"),
        ("ledger/checkpoint", bend, f"{LEDGER}/checkpoint: "),
        ("roster", bend, "runs/small/roster is not what the run has signed"),
        ("keys/simulation.key", Path.unlink, "runs/small/keys/simulation.key is missing"),
        ("keys/simulation.key", cut, "runs/small/keys/simulation.key is damaged"),
        ("witness/witness.key", Path.unlink, "runs/small/witness/witness.key is missing"),
    ],
)
def test_a_ledger_or_a_fleet_that_is_not_the_runs_own_is_named(
    terminal: Terminal, stopped: Path, name: str, harm: Callable[[Path], None], said: str
) -> None:
    harm(stopped / name)
    with untouched(stopped):
        line = terminal.refused(CANNOT_GO_ON, "simulate", "--resume", "runs/small")
    assert said in line
    assert " -> " in line


def test_a_ledger_that_the_witness_saw_grow_further_is_refused(terminal: Terminal, stopped: Path) -> None:
    (stopped / "ledger/checkpoint").unlink()
    path = stopped / "ledger/entries.jsonl"
    path.write_bytes(path.read_bytes().partition(b"\n")[0] + b"\n")
    line = terminal.refused(CANNOT_GO_ON, "simulate", "--resume", "runs/small")
    assert "witness" in line
    assert " -> " in line
    assert not (stopped / "ledger/checkpoint").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--resume", "runs/absent"], "runs/absent is not a run -> name a folder under runs/"),
        (["--resume", "runs"], "runs is not a run"),
        (["--resume", "small.toml"], "small.toml is not a run"),
        (["--resume", "runs/small", "--set", "seed=4"], "keeps its configuration -> leave out --set"),
        (["--resume", "runs/small", "--seed", "4"], "keeps its configuration -> leave out --set and --seed"),
        (["small.toml", "--resume", "runs/small"], "has its configuration -> leave out FILE, or --resume"),
    ],
)
def test_a_resume_that_makes_no_sense(terminal: Terminal, stopped: Path, words: list[str], said: str) -> None:
    with untouched(stopped):
        assert said in terminal.refused(BAD_INPUT, "simulate", *words)


def test_a_finished_run_is_not_resumed(terminal: Terminal, stopped: Path, four_rounds: str) -> None:
    assert terminal.run("simulate", "--resume", "runs/small")[0] == 0
    assert small.summary(stopped)["model_sha256"] == four_rounds
    with untouched(stopped):
        line = terminal.refused(BAD_INPUT, "simulate", "--resume", "runs/small")
    assert line == "covey: runs/small is finished -> its report: runs/small/report.html"


def test_a_demo_that_was_not_begun_is_not_resumed(terminal: Terminal) -> None:
    assert "runs/demo is not a run" in terminal.refused(BAD_INPUT, "demo", "--resume")


def test_a_file_in_the_place_of_a_run_is_left_there(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "small").write_text("mine")
    with untouched(tmp_path / "runs"):
        line = terminal.refused(BAD_INPUT, "simulate", "small.toml")
    assert line.startswith("covey: runs/small is there and is not a run -> move it away")


def test_a_folder_in_the_place_of_a_run_is_left_there(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "runs" / "small").mkdir(parents=True)
    (tmp_path / "runs" / "small" / "thesis.txt").write_text("mine")
    with untouched(tmp_path / "runs"):
        line = terminal.refused(BAD_INPUT, "simulate", "small.toml")
    assert line.startswith("covey: runs/small is there and is not a run -> move it away")


# Packages


def test_a_damaged_package_is_refused_by_verify_and_by_infer(
    terminal: Terminal, stopped: Path, tmp_path: Path
) -> None:
    assert terminal.run("simulate", "--resume", "runs/small")[0] == 0
    np.save(tmp_path / "input.npy", np.zeros((1, 8, 8), np.float32))
    key = ["--key", "runs/small/keys/release.pub.pem"]
    whole = "runs/small/small.covey"
    assert terminal.run("package", "verify", whole, *key)[0] == 0
    assert terminal.run("infer", whole, "input.npy", *key)[0] == 0

    content = bytearray(Path(whole).read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.covey"
    damaged.write_bytes(content)
    (tmp_path / "cut.covey").write_bytes(content[: len(content) // 3])
    for name in ("damaged.covey", "cut.covey"):
        terminal.refused(CANNOT_GO_ON, "package", "verify", name, *key)
        terminal.refused(CANNOT_GO_ON, "infer", name, "input.npy", *key)

    installed = stopped / "device" / "current" / "model.fp32.onnx"
    installed.write_bytes(installed.read_bytes()[:-1] + b"x")
    assert "model.fp32.onnx" in terminal.refused(CANNOT_GO_ON, "infer", "runs/small/device", "input.npy")


def test_a_package_of_another_publisher_is_refused(terminal: Terminal, stopped: Path) -> None:
    assert terminal.run("simulate", "--resume", "runs/small")[0] == 0
    shutil.copytree(stopped, stopped.with_name("other"), symlinks=True)
    (stopped.with_name("other") / "summary.json").unlink()
    for path in (stopped.with_name("other") / "keys").glob("release.*"):
        path.unlink()
    assert terminal.run("simulate", "--resume", "runs/other")[0] == 0  # makes keys of its own
    words = ["package", "verify", "runs/other/small.covey", "--key"]
    assert terminal.run(*words, "runs/other/keys/release.pub.pem")[0] == 0
    terminal.refused(CANNOT_GO_ON, *words, "runs/small/keys/release.pub.pem")


# Processes


@contextmanager
def training(folder: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A real process that has just ended a round."""
    process = subprocess.Popen(
        [*INTERRUPTIBLE, small.command(), "simulate", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("  round"):
                break
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_run_that_is_going_on_is_held_and_ctrl_c_says_how_to_go_on(
    terminal: Terminal, tmp_path: Path
) -> None:
    words = ["small.toml", *QUICK, *small.sets("federation.rounds=60", "training.epochs=2")]
    path = tmp_path / "runs" / "small"
    with training(tmp_path, *words) as process:
        process.send_signal(signal.SIGSTOP)
        with untouched(path):
            for other in (["small.toml"], ["--resume", "runs/small"]):
                line = terminal.refused(BAD_INPUT, "simulate", *other)
                assert line == "covey: runs/small is in use by another process -> wait for it, or stop it"
        assert [each.name for each in path.parent.iterdir() if each.suffix != ".lock"] == ["small"]
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    line = one_line(process.returncode, STOPPED, errors)
    assert line == "covey: stopped -> covey simulate --resume runs/small"
    assert not (path / "summary.json").exists()
    done = len(small.rows(path / "metrics.jsonl"))
    assert 1 <= done < 60

    assert terminal.run("simulate", "--resume", "runs/small")[0] == 0
    assert len(small.rows(path / "metrics.jsonl")) == 60
    assert terminal.run("simulate", path / "config.toml", "--runs", "whole")[0] == 0
    whole = small.outcome(tmp_path / "whole" / "small")
    assert small.outcome(path) == whole


@pytest.mark.long
def test_ctrl_c_at_any_second_says_one_line(tmp_path: Path) -> None:
    small.write(tmp_path)
    for tenths in range(2, 100, 8):
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        process = subprocess.Popen(
            [*INTERRUPTIBLE, small.command(), "simulate", "small.toml"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            process.wait(tenths / 10)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        finally:
            try:
                _, errors = process.communicate(timeout=60)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        begun = (tmp_path / "runs" / "small" / "run.json").exists()
        if process.returncode == -signal.SIGINT:
            # Python itself was still starting, or already leaving
            assert not begun or (tmp_path / "runs" / "small" / "summary.json").exists()
        elif process.returncode != 0:
            line = one_line(process.returncode, STOPPED, errors)
            assert ("--resume runs/small" in line) is begun, f"after {tenths / 10} s"
