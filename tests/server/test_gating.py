from pathlib import Path
from typing import Any

import pytest

from covey.errors import InputError, RoundAborted, StateError
from covey.gate import GateReport
from covey.plan import Compare
from covey_server import gating
from covey_server.calibrating import Trained
from covey_server.gating import gate
from covey_server.run_folder import GATE
from covey_server.settings import FederationFile
from trained_digits import SCALE, Asked, asks, file, fleet, package, trained, zeros

GROUPS = ("odd", "even")
LOOSE = {"accuracy_drop": "0.02", "group_drop": "0.03"}
"""What 432 examples can show."""


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the trained model."""
    return package(tmp_path_factory.mktemp("released") / "digits.covey", trained())


def decided(parent: Path | None = None, **release: Any) -> FederationFile:
    named = {"parent": str(parent)} if parent else {}
    return file({"gate": True, "groups": GROUPS, "limits": LOOSE, **named, **release})


def asked(folder: Path, made: FederationFile, new: bytes) -> tuple[GateReport, Asked]:
    with asks(folder, made, fleet(GROUPS)) as ask:
        return gate(ask, made, trained(), new, folder), ask


def test_an_equal_model_passes(tmp_path: Path, parent: Path) -> None:
    report, ask = asked(tmp_path / "a", decided(parent), trained().fp32)
    assert (report.verdict, report.words, report.compared) == ("passed", "the gate passed", True)
    assert {check.estimate for check in report.checks} == {"0.000000"}
    assert report.checks[0].examples == 432
    assert [(check.of, check.examples) for check in report.checks[-2:]] == [("odd", 216), ("even", 216)]
    (task,) = ask.tasks
    assert task == Compare(64, GROUPS, SCALE)  # the old model's inputs are scaled as it was trained


def test_a_broken_model_fails_with_the_numbers_that_failed(tmp_path: Path, parent: Path) -> None:
    report, _ = asked(tmp_path / "a", decided(parent), zeros().fp32)
    assert report.verdict == "failed"
    assert not report.may_publish
    failed = {(check.number, check.of) for check in report.failed}
    assert {("accuracy drop", ""), ("missed more", "5"), ("group drop", "odd")} <= failed
    assert ("missed more", "0") not in failed  # it takes everything for a 0
    assert "accuracy drop: 8" in report.words


def test_a_first_model_is_held_to_absolute_limits(tmp_path: Path) -> None:
    report, ask = asked(tmp_path / "good", decided(), trained().fp32)
    assert (report.verdict, report.compared) == ("passed", False)
    assert {check.number for check in report.checks} == {"accuracy", "missed"}
    assert ask.tasks == [Compare(64, GROUPS)]
    report, _ = asked(tmp_path / "bad", decided(), zeros().fp32)
    assert report.verdict == "failed"
    assert "accuracy: 9." in report.words


def test_what_devices_cannot_tell_is_undecided_and_says_what_would(tmp_path: Path, parent: Path) -> None:
    strict = decided(parent, limits={"accuracy_drop": "0.001"})
    report, _ = asked(tmp_path / "a", strict, trained().fp32)
    assert report.verdict == "undecided"
    assert not report.may_publish
    assert "examples of it would settle it" in report.words


def test_devices_are_asked_once_about_the_same_files(tmp_path: Path, parent: Path) -> None:
    made, folder = decided(parent), tmp_path / "a"
    with asks(folder, made, fleet(GROUPS)) as ask:
        first = gate(ask, made, trained(), trained().fp32, folder)
        assert gate(ask, made, trained(), trained().fp32, folder) == first
        assert ask.names == ["Compare"]


@pytest.mark.parametrize("other", ["new", "old", "unnamed"])
def test_a_verdict_on_other_files_lets_nothing_through(tmp_path: Path, parent: Path, other: str) -> None:
    """As where a checkpoint was lost, and the rounds ended in another model; or the parent was replaced."""
    path = tmp_path / "parent.covey"
    path.write_bytes(parent.read_bytes())
    made, folder = decided(path), tmp_path / "a"
    with asks(folder, made, fleet(GROUPS)) as ask:
        assert gate(ask, made, trained(), trained().fp32, folder).verdict == "passed"
        new = trained().fp32
        if other == "new":
            new = zeros().fp32
        elif other == "old":
            package(path, zeros())
        else:
            (folder / gating.COMPARED).unlink()
        again = gate(ask, made, trained(), new, folder)
        assert ask.names == ["Compare"] * 2
        assert again.verdict == ("failed" if other == "new" else "passed")
        assert (float(again.checks[0].estimate) < -0.8) == (other == "old")
        assert gate(ask, made, trained(), new, folder) == again
        assert ask.names == ["Compare"] * 2


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff"])
def test_a_damaged_answer_is_named_and_not_asked_for_again_unbidden(
    tmp_path: Path, parent: Path, damage: bytes
) -> None:
    made, folder = decided(parent), tmp_path / "a"
    with asks(folder, made, fleet(GROUPS)) as ask:
        gate(ask, made, trained(), trained().fp32, folder)
        (folder / GATE).write_bytes(damage)
        with pytest.raises(StateError, match=r"a/gate\.json is damaged") as caught:
            gate(ask, made, trained(), trained().fp32, folder)
        assert caught.value.hint == "remove it: the devices are asked again, and that counts again"
        assert ask.names == ["Compare"]


def test_a_parent_with_other_labels_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    other = package(tmp_path / "other.covey", trained(), tuple("abcdefghij"))
    _refused(tmp_path / "a", decided(other), trained(), InputError, "has other inputs or labels than digits")


def test_a_parent_that_is_no_package_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "other.covey").write_bytes(b"hello")
    _refused(
        tmp_path / "a",
        decided(tmp_path / "other.covey"),
        trained(),
        InputError,
        "other.covey is not a package",
    )


def _refused(folder: Path, made: FederationFile, new: Trained, kind: type[Exception], said: str) -> None:
    with asks(folder, made) as ask, pytest.raises(kind, match=said):
        gate(ask, made, new, new.fp32, folder)
    assert ask.tasks == []
    assert not (folder / GATE).exists()


def test_too_few_devices_leave_nothing_that_looks_like_a_verdict(tmp_path: Path) -> None:
    made, folder = file({"gate": True}, federation={"minimum_devices": 13}), tmp_path / "a"
    with asks(folder, made) as ask, pytest.raises(RoundAborted):
        gate(ask, made, trained(), trained().fp32, folder)
    assert not (folder / GATE).exists()
