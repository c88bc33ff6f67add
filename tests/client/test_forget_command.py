"""`covey device forget`."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from commands import invoked
from covey_client.forget_command import forget
from covey_client.recorder import Recorder


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(forget)
    return made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "device.toml"
    path.write_text(
        f'state = "{tmp_path}/state"\n[data]\npath = "{tmp_path}/data"\n[model]\nname = "digits"\n'
    )
    with Recorder(tmp_path / "data", (1,)) as recorder:
        recorder.append([1], 0)
        recorder.seal()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "identity.key").touch()
    return path


def test_it_says_what_was_removed_and_what_remains(app: typer.Typer, config: Path, tmp_path: Path) -> None:
    lines = invoked(app, "--config", config, "--yes").output.splitlines()
    assert lines[0].startswith("removed  1 file recorded: 00000001-")
    assert any(line.startswith("remains  ") and "with which the device goes on" in line for line in lines)
    assert list((tmp_path / "data").iterdir()) == []
    assert invoked(app, "--config", config, "--yes").output.startswith("removed  nothing")


def test_it_asks_first_and_does_nothing_without_a_yes(app: typer.Typer, config: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--config", str(config), "--everything"], input="n\n")
    assert result.exit_code == 1
    assert f"erase recordings in {tmp_path}/data, and the device in {tmp_path}/state?" in result.output
    assert (tmp_path / "state" / "identity.key").exists()
    assert list((tmp_path / "data").iterdir())


def test_everything_is_erased_when_it_is_said(app: typer.Typer, config: Path, tmp_path: Path) -> None:
    output = invoked(app, "--config", config, "--everything", "--yes").output
    assert "removed  1 file of the device: identity.key" in output
    assert "covey fleet revoke" in output
    assert list((tmp_path / "state").iterdir()) == []
