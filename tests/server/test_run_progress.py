"""How far a run has come, as `covey fleet status` says it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from covey_server.commands import fleet
from covey_server.orders import Orders
from covey_server.run_progress import rounds_of

FEDERATION = """
name = "{name}"
[model]
name = "digits"
[federation]
rounds = 7
{more}
"""
HEALTH = f'[health]\nrollout = "wrist-1"\nimage = "{"ab" * 32}"\nrings = 2\n'


@pytest.mark.parametrize(("more", "rounds", "told"), [("", 7, "waiting, round 0/7"), (HEALTH, 0, "waiting")])
def test_a_run_that_only_asks_how_a_rollout_goes_has_no_rounds(
    tmp_path: Path, more: str, rounds: int, told: str
) -> None:
    server = tmp_path / "server.toml"
    server.write_text(f'state = "{tmp_path}/state"\noperator = "{tmp_path}/operator"\n')
    (tmp_path / "state").mkdir()
    data = FEDERATION.format(name="one", more=more).encode()
    order = Orders(tmp_path / "state/orders").enter("one", data)
    assert rounds_of(order) == rounds
    said = CliRunner().invoke(fleet, ["status", "--server", str(server)])
    assert f"run one: {told}\n" in said.stdout
