"""A device that the installer made, its units under a systemd of their own: they work, and are held."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import pytest

from agents import short_folder
from booted import Machine, booted
from covey_client.budget import FileJournal
from pilot import MASKED, NO_RANGES, Pilot, pilot
from pilot_run import run, settled

ROOT = Path(__file__).parents[2]
DEVICES = 10
FEDERATION = MASKED.format(rounds=1, minimum=10, timeout=90.0) + NO_RANGES
"""Everybody is needed, so that the device whose units these are is."""
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def wait(happened: Callable[[], bool], told: Callable[[], str], seconds: float = 60) -> None:
    deadline = monotonic() + seconds
    while not happened():
        assert monotonic() < deadline, told()
        sleep(0.2)


@dataclass(frozen=True)
class Installed:
    """A fleet, the first device of which is a machine.

    Attributes:
        machine: The device.
        fleet: All.
        wheel: What is installed there.
    """

    machine: Machine
    fleet: Pilot
    wheel: Path

    def install(self, *words: str) -> str:
        script = ROOT / "client/deploy/install.sh"
        return self.machine.run("bash", str(script), "--wheel", str(self.wheel), *words, seconds=600)

    def started(self, unit: str) -> int:
        """Its main process, once it has said that it is ready."""
        self.machine.run("systemctl", "restart", unit)
        return int(self.machine.shown(unit, "MainPID"))

    def log(self, unit: str) -> str:
        return self.machine.run("journalctl", "-u", unit, "--no-pager", "-n", "40")


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    """A machine on which nothing is installed yet, and a wheel for it."""
    (tmp_path / "wheel").mkdir()
    wheel = built(tmp_path / "wheel")
    with (
        short_folder() as folder,
        pilot(folder, DEVICES, FEDERATION) as fleet,
        booted(tmp_path / "machine", [wheel.parent]) as machine,
    ):
        yield Installed(machine, fleet, wheel)


def built(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*pip, "--wheel-dir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("covey-*.whl")
    return wheel


def the_installer_makes_users_environments_and_units_once(installed: Installed) -> None:
    machine = installed.machine
    planned = installed.install("--dry-run")
    assert machine.try_to("id", "covey").returncode != 0
    assert installed.install() == planned
    assert installed.install() == "nothing to change\n"
    for name, home in {"covey": "/var/lib/covey", "covey-node": "/var/lib/covey-node"}.items():
        assert machine.run("id", "-Gn", name).split() == [name]
        assert machine.run("stat", "-c", "%U %G %a", home) == f"{name} {name} 700\n"
    assert machine.run("systemd-analyze", "verify", "covey-agent.service", "covey-supernode.service") == ""
    find = (
        "import importlib.util as u; print([bool(u.find_spec(n)) for n in ('torch', 'flwr', 'covey_client')])"
    )
    for place, user, has in (
        ("covey", "covey", [True] * 3),
        ("covey-node", "covey-node", [False, True, True]),
    ):
        words = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
        assert machine.run(*words, f"/opt/{place}/bin/python", "-c", find) == f"{has}\n"
    assert machine.shown("covey-agent", "ActiveState") == "inactive"  # it must be enrolled first


def the_agent_trains_in_a_masked_round_under_all_that_holds_it(installed: Installed) -> None:
    machine, fleet = installed.machine, installed.fleet
    device, others = fleet.device(0), list(fleet.devices.values())[1:]
    enrol(installed)
    pid = installed.started("covey-agent")
    assert machine.shown("covey-agent", "StatusText") == "waits"
    device.socket.symlink_to(machine.root / "run/covey/agent.sock")
    for each in others:
        each.start()
    for each in others:
        each.wait()
    run(fleet)
    assert settled(fleet) == [DEVICES] * 2
    assert FileJournal(machine.root / "var/lib/covey/budget.jsonl").budget.counter > 0
    assert machine.shown("covey-agent", "NRestarts") == "0"
    assert int(machine.shown("covey-agent", "MainPID")) == pid
    check_held(machine, "covey-agent", "covey")
    for each in others:
        each.stop()


def enrol(installed: Installed) -> None:
    """Bring the machine what the first device of the fleet has, and a configuration."""
    machine, device = installed.machine, installed.fleet.device(0)
    subprocess.run(["cp", "-a", f"{device.state}/.", machine.root / "var/lib/covey"], check=True)
    data = installed.fleet.folder / f"{device.name}.npz"
    subprocess.run(["cp", data, machine.root / "var/lib/covey-data/digits.npz"], check=True)
    machine.run("chown", "-R", "covey:covey", "/var/lib/covey", "/var/lib/covey-data")
    example = (machine.root / "etc/covey/device.toml.example").read_text()
    text = example.replace('"/var/lib/covey-data"', '"/var/lib/covey-data/digits.npz"')
    (machine.root / "etc/covey/device.toml").write_text(text)


def check_held(machine: Machine, unit: str, user: str) -> None:
    """As the kernel says it, of every process of a unit."""
    uid = machine.run("id", "-u", user).strip()
    group = machine.shown(unit, "ControlGroup")
    pids = machine.run("cat", f"/sys/fs/cgroup/unified{group}/cgroup.procs").split()
    assert machine.shown(unit, "MainPID") in pids
    for pid in pids:
        status = machine.run("cat", f"/proc/{pid}/status")
        lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        assert lines["Uid"].split() == [uid] * 4
        assert [int(lines[name], 16) for name in CAPABILITIES] == [0] * len(CAPABILITIES)
        assert lines["NoNewPrivs"].strip() == "1"
        assert lines["Seccomp"].strip() == "2"  # SECCOMP_MODE_FILTER


def an_agent_that_hangs_is_started_anew(installed: Installed) -> None:
    machine = installed.machine
    drop_in(machine, "covey-agent", "WatchdogSec=3\nRestartSec=1\n")
    pid = installed.started("covey-agent")
    sleep(4)
    assert int(machine.shown("covey-agent", "MainPID")) == pid  # while it lives it is fed
    machine.run("kill", "-STOP", str(pid))
    wait(lambda: machine.shown("covey-agent", "NRestarts") == "1", lambda: installed.log("covey-agent"))
    wait(
        lambda: machine.shown("covey-agent", "ActiveState") == "active", lambda: installed.log("covey-agent")
    )
    assert "Watchdog timeout" in installed.log("covey-agent")
    assert int(machine.shown("covey-agent", "MainPID")) != pid


def drop_in(machine: Machine, unit: str, text: str) -> None:
    folder = machine.root / f"etc/systemd/system/{unit}.service.d"
    folder.mkdir(exist_ok=True)
    (folder / "test.conf").write_text(f"[Service]\n{text}")
    machine.run("systemctl", "daemon-reload")


def the_supernode_starts_and_sees_nothing_of_the_device(installed: Installed) -> None:
    machine = installed.machine
    machine.run("systemctl", "start", "covey-supernode")  # its condition holds it back
    assert machine.shown("covey-supernode", "ActiveState") == "inactive"
    own, keys = ["install", "-o", "covey-node", "-g", "covey-node", "-m", "600"], ("node.key", "ca.crt")
    machine.run(*own, *(f"/var/lib/covey/{name}" for name in keys), "/var/lib/covey-node")
    (machine.root / "etc/covey/supernode.env").write_text("COVEY_SUPERLINK=127.0.0.1:1\n")  # nobody is there
    pid = installed.started("covey-supernode")
    wait(lambda: "retrying" in installed.log("covey-supernode"), lambda: installed.log("covey-supernode"))
    assert int(machine.shown("covey-supernode", "MainPID")) == pid
    assert machine.shown("covey-supernode", "NRestarts") == "0"
    check_held(machine, "covey-supernode", "covey-node")
    for denied in (
        "ls /var/lib/covey",
        "ls /var/lib/covey-data",
        "cat /etc/covey/device.toml",
        "ls /root",
        "ls /home",
        "ls /run/dbus",
    ):
        done = machine.within(pid, "covey-node", *denied.split())
        assert "Permission denied" in done.stderr, (denied, done.stdout)
    for written in ("/opt/covey-node/x", "/etc/covey/x", "/usr/bin/x", "/run/covey/x"):
        assert machine.within(pid, "covey-node", "touch", written).returncode != 0, written
    assert machine.within(pid, "covey-node", "touch", "/var/lib/covey-node/x").returncode == 0
    seen = machine.within(pid, "covey-node", "ls", "/proc").stdout.split()
    agent = machine.shown("covey-agent", "MainPID")
    assert str(pid) in seen
    assert agent not in seen
    assert "1" not in seen


def the_supernode_may_ask_the_agent_and_others_may_not(installed: Installed) -> None:
    machine = installed.machine
    pid = int(machine.shown("covey-supernode", "MainPID"))
    ask = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/covey/agent.sock');"
        "s.sendall((6).to_bytes(4, 'big') + b'status'); print(s.recv(400))"
    )
    python = ("/opt/covey-node/bin/python", "-c", ask)
    assert "Refusal" in machine.within(pid, "covey-node", *python).stdout
    nobody = machine.try_to("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *python)
    assert nobody.stdout == "b''\n" or re.search("ConnectionReset|BrokenPipe", nobody.stderr), nobody


def what_a_supernode_leaves_behind_ends_with_it(installed: Installed) -> None:
    machine = installed.machine
    leave = "ExecStartPost=/bin/sh -c 'setsid sleep 4321 >/dev/null 2>&1 &'\n"
    drop_in(machine, "covey-supernode", f"RestartSec=1\n{leave}")
    pid = installed.started("covey-supernode")
    (daemon,) = machine.run("pgrep", "-x", "sleep").split()
    machine.run("kill", "-KILL", str(pid))
    wait(lambda: machine.try_to("kill", "-0", daemon).returncode != 0, lambda: "the daemon lives")
    wait(
        lambda: (
            machine.shown("covey-supernode", "NRestarts") != "0"
            and machine.shown("covey-supernode", "ActiveState") == "active"
        ),
        lambda: installed.log("covey-supernode"),
    )


def uninstalled_nothing_is_left_but_what_a_device_never_forgets(installed: Installed) -> None:
    machine = installed.machine
    script = str(ROOT / "client/deploy/install.sh")
    machine.run("bash", script, "--uninstall", seconds=120)
    assert machine.try_to("id", "covey-node").returncode != 0
    for unit in ("covey-agent", "covey-supernode"):
        assert machine.shown(unit, "ActiveState") in {"inactive", "failed"}
    assert not (machine.root / "opt/covey").exists()
    assert not (machine.root / "var/lib/covey-node").exists()
    assert machine.run("stat", "-c", "%U %a", "/var/lib/covey/budget.jsonl") == "covey 600\n"
    machine.run("bash", script, "--uninstall", "--purge", seconds=120)
    assert machine.try_to("id", "covey").returncode != 0
    assert not (machine.root / "var/lib/covey").exists()


def test_a_device_is_installed_works_is_held_and_goes(installed: Installed) -> None:
    """One test, for the installation takes a minute: each part goes on where the one before has stopped."""
    the_installer_makes_users_environments_and_units_once(installed)
    the_agent_trains_in_a_masked_round_under_all_that_holds_it(installed)
    an_agent_that_hangs_is_started_anew(installed)
    the_supernode_starts_and_sees_nothing_of_the_device(installed)
    the_supernode_may_ask_the_agent_and_others_may_not(installed)
    what_a_supernode_leaves_behind_ends_with_it(installed)
    uninstalled_nothing_is_left_but_what_a_device_never_forgets(installed)
