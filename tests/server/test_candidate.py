import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from flwr.app import Context, RecordDict

from covey import plan as plans
from covey.errors import ConfigError, InputError, StateError
from covey.examples import Floats
from covey.ledger.entries import Reserve, kind_of
from covey.package.archive import unpack
from covey.package.contents import Variant
from covey.package.verify import verify
from covey_models import carried
from covey_models.runtime import predictor
from covey_server import app, gating, summary
from covey_server.candidate import Candidate, candidate
from covey_server.ledgers import opened
from covey_server.privacy import protection
from covey_server.run_folder import CALIBRATION, GATE, RunFolder
from covey_server.settings import FederationFile
from covey_server.sum_rows import read_entries
from digits_fleet import Flock, pool
from trained_digits import asked_about, asks, file, fleet, package, scaled, trained

METHODS = {
    "private": "Activation ranges by a private sum over 12 devices, about 432 training examples: 4 tensors.",
    "public": "Activation ranges were taken from public inputs, none of which comes from a device.",
    "pooled": "Activation ranges were taken from raw examples in one place, which no ε covers.",
    "weights-only": "Only weights are int8; activations stay float32 and needed no calibration.",
}


def in_one_place() -> Floats:
    return scaled(asked_about().train)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Candidate]:
    """A candidate by each way to calibrate."""
    found = {}
    for method in METHODS:
        folder, decided = tmp_path_factory.mktemp("made") / method, file({"calibration": method})
        with asks(folder, decided) as ask:
            found[method] = candidate(ask, decided, trained(), folder, in_one_place)
            assert ask.names == (["Calibrate"] if method == "private" else [])
    return found


@pytest.mark.parametrize("method", METHODS)
def test_each_way_to_calibrate_gives_an_int8_model_and_says_how(
    made: Mapping[str, Candidate], method: str
) -> None:
    found = made[method]
    assert list(found.variants) == ["fp32", "int8"]
    assert found.variants["fp32"] == trained().fp32
    assert found.calibration == METHODS[method]
    assert found.gate is None
    found.check()
    assert _agreement(found.variants["int8"], trained().fp32) > 0.98


def test_a_private_calibration_decides_as_a_pooled_one_does(made: Mapping[str, Candidate]) -> None:
    private, pooled = (made[method].variants["int8"] for method in ("private", "pooled"))
    assert private != pooled  # ranges end at the edges of bins
    assert _agreement(private, pooled) >= 0.99
    held_out = pool().held_out
    right = [np.mean(_decisions(each) == held_out.y) for each in (private, pooled)]
    assert right[0] > right[1] - 0.005


def _agreement(one: bytes, other: bytes) -> float:
    """Share of equal decisions on digits that no calibration saw."""
    return float(np.mean(_decisions(one) == _decisions(other)))


def _decisions(onnx: bytes) -> Any:
    return predictor(onnx)(scaled(pool().held_out)).argmax(axis=1)


def test_without_int8_nobody_is_asked(tmp_path: Path) -> None:
    decided = file({"int8": False})
    with asks(tmp_path / "a", decided) as ask:
        found = candidate(ask, decided, trained(), tmp_path / "a")
        assert (list(found.variants), found.calibration, ask.tasks) == (["fp32"], "", [])


def test_pooled_examples_that_no_fleet_has_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    decided = file({"calibration": "pooled", "gate": True})
    with asks(tmp_path / "a", decided) as ask, pytest.raises(InputError) as caught:
        candidate(ask, decided, trained(), tmp_path / "a")
    assert caught.value.hint == 'set [release] calibration = "private"'
    assert ask.tasks == []
    with pytest.raises(ConfigError, match=r"\[release\]: calibration: no fleet has its examples"):
        app.protection_of(decided, Context(1, 1, {}, RecordDict(), {}))  # what is first in a run
    app.protection_of(file({"calibration": "private"}), Context(1, 1, {}, RecordDict(), {}))


@pytest.mark.parametrize(("int8", "variant"), [(True, "int8"), (False, "fp32")])
def test_what_devices_compare_is_what_they_would_run(tmp_path: Path, int8: bool, variant: Variant) -> None:
    decided, shown = file({"int8": int8, "gate": True, "calibration": "public"}), []
    with asks(tmp_path / "a", decided) as ask:

        def watched(task: Any, parameters: Any, preprocessing: Any) -> Any:
            shown.append(carried.from_arrays(parameters))
            return ask(task, parameters, preprocessing)

        found = candidate(watched, decided, trained(), tmp_path / "a")
        assert shown == [{"new": found.variants[variant]}]
        assert found.gate
        assert found.gate.verdict == "passed"
        found.check()


@dataclass
class Run:
    """A run by the fleet's ServerApp, in processes that end and are gone on with."""

    path: Path
    file: FederationFile
    fleet: Flock = field(default_factory=fleet)

    def process(self) -> summary.Summary:
        """One of them."""
        folder = app.open_or_create(self.path, self.file)
        protected = protection(self.file, trained().model, None, seeded=True)
        with opened(folder.ledger, None) as ledger:
            app.run(self.fleet.grid, self.file, folder, ledger, protected)
        return summary.read(self.path / "summary.json")

    @property
    def kinds(self) -> list[str]:
        """Of its ledger's entries, in order; of a reserve what is asked."""
        entries = read_entries(RunFolder.open(self.path).ledger)
        return [
            plans.kind(plans.from_bytes(each.plan)) if isinstance(each, Reserve) else kind_of(each)
            for each in entries
            if kind_of(each) != "round.settle"
        ]


ROUND = ["statistics", "train", "validate"]
FAILING: Mapping[str, Any] = {"gate": True, "limits": {"accuracy_floor": "0.99", "most_missed": "1"}}
"""What one round cannot reach."""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that its gate ended."""
    run = Run(tmp_path_factory.mktemp("failed") / "a", file(FAILING))
    with pytest.raises(InputError, match=r"nothing is released: the gate failed; accuracy: ") as caught:
        run.process()
    assert "at least 99 %: failed" in caught.value.message
    assert "gate.json" in caught.value.hint
    return run


class TestFailed:
    """A gate that fails ends the run without a release."""

    def test_no_package_is_made_and_no_release_is_in_the_ledger(self, failed: Run) -> None:
        assert failed.kinds == [*ROUND, "calibrate", "compare"]
        assert not list(failed.path.rglob("*.covey"))
        assert not (failed.path / "summary.json").exists()
        assert not (failed.path / "keys").exists()

    def test_to_go_on_asks_no_second_opinion(self, failed: Run, tmp_path: Path) -> None:
        """Only the last validation, whose counts are gone with the process, is asked for again."""
        copied = shutil.copytree(failed.path.parent, tmp_path / "runs", symlinks=True)  # with their ledger
        again = replace(failed, path=copied / "a")
        with pytest.raises(InputError, match="nothing is released: the gate failed"):
            again.process()
        assert again.kinds == [*ROUND, "calibrate", "compare", "validate"]
        assert not list(again.path.rglob("*.covey"))

    def test_a_model_worse_than_its_parent_is_not_released(self, tmp_path: Path) -> None:
        parent = package(tmp_path / "parent.covey", trained())
        run = Run(tmp_path / "a", file({"gate": True, "parent": str(parent)}))
        with pytest.raises(InputError, match=r"nothing is released: the gate failed.*; accuracy drop: "):
            run.process()
        assert "model.release" not in run.kinds


PASSING: Mapping[str, Any] = {"gate": True, "limits": {"accuracy_floor": "0", "most_missed": "1"}}


def test_a_run_whose_gate_passes_ends_with_a_package_of_both_variants(tmp_path: Path) -> None:
    run = Run(tmp_path / "a", file(PASSING))
    found = run.process()
    assert run.kinds == [*ROUND, "calibrate", "compare", "metrics.release", "model.release"]
    assert found.privacy.sums == dict.fromkeys([*ROUND, "calibrate", "compare"], 1)
    opened = verify(
        unpack(Path(found.package or "").read_bytes()), (run.path / "keys/release.pub.pem").read_bytes()
    )
    assert opened.variants == ("fp32", "int8")
    assert f"int8 calibration: {METHODS['private']}" in opened.files["README.md"].decode()


class Killed(Exception):  # noqa: N818 - stands for the end of a process
    """Nobody catches it."""


@contextmanager
def killed(owner: Any, name: str) -> Iterator[None]:
    """A process that ends where something is called."""

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(Killed):
            yield


@pytest.mark.parametrize(
    ("owner", "name", "before", "after"),
    [
        (app, "candidate", [], ["calibrate", "compare"]),
        (gating, "_asked", ["calibrate"], ["compare"]),
        (app, "build_package", ["calibrate", "compare"], []),
        (app, "enter_releases", ["calibrate", "compare"], []),
    ],
)
def test_a_run_that_dies_between_its_last_sums_and_the_package_asks_none_of_them_again(
    tmp_path: Path, owner: Any, name: str, before: list[str], after: list[str]
) -> None:
    run = Run(tmp_path / "a", file(PASSING))
    with killed(owner, name):
        run.process()
    assert run.kinds == [*ROUND, *before]
    kept = {path.name: path.read_bytes() for path in run.path.glob("*.json") if path.name in ANSWERS}
    run.process()
    assert run.kinds == [*ROUND, *before, "validate", *after, "metrics.release", "model.release"]
    assert {name: (run.path / name).read_bytes() for name in kept} == kept


ANSWERS = (CALIBRATION, GATE)


def test_a_damaged_answer_stops_a_run_before_it_releases_anything(tmp_path: Path) -> None:
    run = Run(tmp_path / "a", file(PASSING))
    with killed(app, "build_package"):
        run.process()
    report = msgspec.json.decode((run.path / GATE).read_bytes())
    (run.path / GATE).write_bytes(msgspec.json.encode(report | {"verdict": "fine"}))
    with pytest.raises(StateError, match=r"gate\.json is damaged"):
        run.process()
    assert "model.release" not in run.kinds
