"""`covey device doctor`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from commands import invoked
from covey.errors import InputError
from covey_client.doctor_command import doctor


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(doctor)
    return made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "device.toml"
    lines = [f'state = "{tmp_path}"', "[data]", 'path = "a.npz"', "[model]", 'name = "digits"']
    path.write_text("\n".join([*lines, "[socket]", f'path = "{tmp_path}/agent.sock"']) + "\n")
    return path


def test_it_says_what_is_wrong_and_ends_with_one(app: typer.Typer, config: Path) -> None:
    output = invoked(app, "--config", config, "--no-worker", status=1).output
    assert output.split()[:3] == ["ok", "configuration", str(config)]
    assert "FAIL  enrolment" in output
    assert "→ covey device enrol" in output
    assert "to be mended" in output.splitlines()[-1]


def test_json_has_a_row_for_each_check(app: typer.Typer, config: Path) -> None:
    found = json.loads(invoked(app, "--config", config, "--no-worker", "--json", status=1).output)
    names = [row["name"] for row in found]
    assert names[:4] == ["configuration", "userland", "python", "wheels"]
    assert {"clock", "disk", "memory", "certificate", "socket", "covey-agent.service"} <= set(names)
    assert "training" not in names
    assert all(set(row) == {"name", "verdict", "found", "todo"} for row in found)
    assert all(row["todo"] for row in found if row["verdict"] != "ok")


def test_a_wrong_configuration_is_a_row_and_the_rest_is_checked(app: typer.Typer, config: Path) -> None:
    config.write_text("dta = 1\n")
    found = json.loads(invoked(app, "--config", config, "--no-worker", "--json", status=1).output)
    assert found[0]["verdict"] == "fail"
    assert "dta" in found[0]["found"]
    assert len(found) > 10


def test_an_address_that_is_none_is_refused(app: typer.Typer, config: Path) -> None:
    with pytest.raises(InputError, match="is no address"):
        invoked(app, "--config", config, "--no-worker", "--address", "nowhere")


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; import covey_client.doctor_command;"
        "print([name for name in ('numpy', 'torch', 'flwr', 'cryptography', 'grpc') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
    assert ran.stdout == b"[]\n"
