"""The units that look after the SuperNode, under a systemd of their own; what they look after only sleeps."""

import socket
from pathlib import Path

import pytest

from booted import Machine, booted

SCRIPT = Path(__file__).parents[2] / "client/deploy/install.sh"
ALIVE = "covey-supernode-alive"
SOON = "[Service]\nExecStart=\nExecStart=/opt/covey-node/covey-supernode-alive.sh ${COVEY_SUPERLINK} 2\n"

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def server_is(machine: Machine, where: str) -> None:
    (machine.root / "etc/covey/supernode.env").write_text(f"COVEY_SUPERLINK={where}\n")


def looked_after(machine: Machine) -> tuple[str, bool]:
    """What was said last, and whether the SuperNode is another process now."""
    before = machine.shown("covey-supernode", "MainPID")
    machine.run("systemctl", "start", ALIVE, seconds=120)
    said = machine.run("journalctl", "-u", ALIVE, "-t", f"{ALIVE}.sh", "--no-pager", "-n", "1")
    return said, machine.shown("covey-supernode", "MainPID") != before


def test_a_supernode_that_lost_a_server_that_is_there_is_started_anew(tmp_path: Path) -> None:
    """Its root has no capabilities and sees little, and may ask for the restart."""
    with booted(tmp_path / "machine") as machine:
        machine.run("bash", str(SCRIPT), "--no-packages", "--only", "node", seconds=120)
        program = machine.root / "opt/covey-node/bin/flower-supernode"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\nexec sleep infinity\n")
        program.chmod(0o755)
        drop_in = machine.root / f"etc/systemd/system/{ALIVE}.service.d"
        drop_in.mkdir()
        (drop_in / "test.conf").write_text(SOON)
        machine.run("systemctl", "daemon-reload", seconds=120)
        server_is(machine, "127.0.0.1:1")
        machine.run("systemctl", "start", "covey-supernode")
        assert machine.shown(f"{ALIVE}.timer", "ActiveState") == "active"
        said, anew = looked_after(machine)
        assert ("is left alone" in said, anew) == (True, False)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server_is(machine, f"127.0.0.1:{server.getsockname()[1]}")
            said, anew = looked_after(machine)
        assert ("is restarted" in said, anew) == (True, True)
        assert machine.shown(f"{ALIVE}.timer", "ActiveState") == "active"
        machine.run("systemctl", "stop", "covey-supernode")
        assert machine.shown(f"{ALIVE}.timer", "ActiveState") == "inactive"
        machine.run("bash", str(SCRIPT), "--uninstall", seconds=120)
        assert machine.try_to("systemctl", "cat", f"{ALIVE}.timer").returncode != 0
