"""Where a run begins, and what it must find unchanged to go on."""

import multiprocessing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from covey.errors import InputError, StateError
from covey_server.run_folder import RunFolder
from covey_server.settings import FederationSettings, ModelSettings
from covey_simulations import runs
from covey_simulations.data.settings import DataSettings
from covey_simulations.origin import hold_to_origin
from covey_simulations.settings import SimulationFile


def file(name: str = "small") -> SimulationFile:
    return SimulationFile(
        name=name,
        model=ModelSettings(name="digits"),
        federation=FederationSettings(rounds=1),
        data=DataSettings(source="digits", partition="iid"),
    )


def test_a_run_of_the_same_name_is_moved_aside(tmp_path: Path) -> None:
    first, moved = runs.start(file(), tmp_path)
    assert moved is None
    identifier = first.run
    second, moved = runs.start(file(), tmp_path)
    assert moved == tmp_path / "small-1"
    assert RunFolder(tmp_path / "small-1").run == identifier != second.run


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not a run"):
        runs.start(file(), tmp_path)
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["thesis.txt"]


def test_what_a_crash_left_before_the_run_began_is_no_hindrance(tmp_path: Path) -> None:
    folder, _ = runs.start(file(), tmp_path)
    (folder.path / "run.json").unlink()
    again, _ = runs.start(file(), tmp_path)
    assert again.run


def hold(
    path: Path, ready: "multiprocessing.synchronize.Event", done: "multiprocessing.synchronize.Event"
) -> None:
    with RunFolder(path).locked():
        ready.set()
        done.wait(20)


def test_a_name_that_another_process_holds_is_refused_before_there_is_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "small", ready, done))
    other.start()
    try:
        assert ready.wait(20)
        with (
            pytest.raises(InputError, match="in use by another process"),
            RunFolder(tmp_path / "small").locked(),
        ):
            pass
    finally:
        done.set()
        other.join(20)
    with RunFolder(tmp_path / "small").locked():
        assert not (tmp_path / "small").exists()


def with_own_files(folder: Path) -> SimulationFile:
    (folder / "model.py").write_text("MODEL = 1\n")
    (folder / "data").mkdir()
    np.savez(folder / "data" / "pi.npz", x=np.zeros((4, 1)), y=np.zeros(4, int))
    return msgspec.structs.replace(
        file(),
        model=ModelSettings(file=str(folder / "model.py")),
        data=DataSettings(source="folder", path=str(folder / "data")),
    )


@pytest.mark.parametrize("changed", ["model.py", "data/pi.npz", "data/more.npz"])
def test_a_run_whose_files_changed_is_not_gone_on_with(changed: str, tmp_path: Path) -> None:
    settings = with_own_files(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    hold_to_origin(settings, run)
    hold_to_origin(settings, run)
    (tmp_path / changed).write_bytes(b"other")
    with pytest.raises(StateError, match=changed):
        hold_to_origin(settings, run)
