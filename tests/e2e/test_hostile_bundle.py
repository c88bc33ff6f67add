"""Code pushed to a device through Flower: what it cannot reach, and what it can.

Whoever reaches a SuperLink's control port runs Python on every node. The SuperNode therefore runs as a user
of its own, and what is asserted here is asserted from inside, under that user's number and without
capabilities.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from agents import first_delivery, short_folder
from covey.delivery import to_bytes
from digits_fleet import VALIDATE, crowd, masked, question
from flower_programs import BIN, CONNECTION, environment, free_port, running, wait_for_port
from node_environment import node_environment
from pilot import MASKED, Pilot, pilot
from users import as_user, check_powerless, owned_by

AGENT, NODE = 4301, 4302

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may give processes users of their own"),
    pytest.mark.long,
    pytest.mark.timeout(600),
]

MANIFEST = """
[project]
name = "hostile"
version = "1.0.0"
dependencies = []
[tool.flwr.app]
publisher = "mallory"
[tool.flwr.app.components]
serverapp = "hostile.server:app"
clientapp = "hostile.client:app"
[tool.flwr.app.config]
agent = 0
state = ""
data = ""
socket = ""
owner = ""
config = ""
forged = ""
loot = ""
"""

SERVER = """
import time
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.5)
    content = RecordDict({"c": ConfigRecord(dict(context.run_config))})
    for reply in grid.send_and_receive([Message(content, nodes[0], "query")], timeout=120):
        with open(context.run_config["loot"], "w") as file:
            file.write(reply.error.reason if reply.has_error() else reply.content["c"]["json"])
"""

CLIENT = """
import json, os, signal, socket
from pathlib import Path
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

def tried(act):
    try:
        return repr(act())[:300]
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

def ask(path, data):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(path)
        connection.sendall(len(data).to_bytes(4, "big") + data)
        head = connection.recv(4)
        return connection.recv(int.from_bytes(head, "big")) if head else "closed"

@app.query()
def query(message, context):
    told = dict(message.content["c"])
    agent, state = int(told["agent"]), Path(told["state"])
    proc = Path(f"/proc/{agent}")
    found = {
        "uid": os.getuid(),
        "status": Path("/proc/self/status").read_text(),
        "config": tried(lambda: Path(told["config"]).write_text("unprotected = true")),
        "data": tried(lambda: Path(told["data"]).read_bytes()),
        "state": tried(lambda: os.listdir(state)),
        "identity": tried(lambda: (state / "identity.key").read_text()),
        "budget": tried(lambda: (state / "budget.jsonl").unlink()),
        "pause": tried(lambda: (state / "paused").write_text("x")),
        "memory": tried(lambda: (proc / "mem").open("rb").read(1)),
        "environ": tried(lambda: (proc / "environ").read_bytes()),
        "descriptors": tried(lambda: os.listdir(proc / "fd")),
        "kill": tried(lambda: os.kill(agent, signal.SIGKILL)),
        "unlink": tried(lambda: os.unlink(told["socket"])),
        "move": tried(lambda: os.rename(told["socket"], told["socket"] + ".old")),
        "owner": tried(lambda: ask(told["owner"], b"status")),
        "root": tried(lambda: os.setuid(0)),
        "forged": [
            tried(lambda each=each: ask(told["socket"], bytes.fromhex(each)))
            for each in Path(told["forged"]).read_text().split()
        ],
        # what it can do, and the threat model says so
        "own home": tried(lambda: os.listdir(os.environ["HOME"])),
        "a daemon": tried(lambda: os.fork() or os._exit(0)),
    }
    return Message(RecordDict({"c": ConfigRecord({"json": json.dumps(found)})}), reply_to=message)
"""


@pytest.fixture
def fleet() -> Iterator[Pilot]:
    with (
        short_folder() as folder,
        pilot(folder, 10, MASKED.format(rounds=1, minimum=8, timeout=60.0)) as made,
    ):
        folder.chmod(0o755)
        for each in ("keys", "keys/devices"):
            (folder / each).chmod(0o755)
        yield made


def forged() -> list[bytes]:
    """What a hostile ClientApp might say to the agent: none of it is the operator's, within the policy."""
    flock = crowd(10)
    nodes = list(flock.devices)
    in_clear = question(VALIDATE, nodes, minimum=8)
    another_operators = question(VALIDATE, nodes, minimum=8, protection=masked(flock))
    return [
        b"status",
        to_bytes(first_delivery(in_clear)),
        to_bytes(first_delivery(another_operators)),
        b"\x93\xa9Requested" + b"\xd9\x40" + b"ab" * 32 + b"\xa5share" + b"\xc4\x00",
    ]


def test_a_hostile_bundle_reaches_neither_data_nor_keys_and_the_agent_answers_nothing(fleet: Pilot) -> None:
    device, folder = fleet.device(0), fleet.folder
    sockets, home, bundle = folder / "run", folder / "node", folder / "bundle"
    for made in (sockets, home, bundle / "hostile"):
        made.mkdir(parents=True)
    device.config.write_text(
        device.config.read_text()
        .replace(f"{folder}/{device.name}.sock", f"{sockets}/agent.sock")
        .replace(f"{folder}/{device.name}.own", f"{sockets}/owner.sock")
        .replace("[socket]", f"[socket]\nusers = [{NODE}]")
    )
    owned_by(AGENT, device.state)
    os.chown(sockets, AGENT, AGENT)
    data = folder / f"{device.name}.npz"
    for private in (data, device.config):
        os.chown(private, AGENT, AGENT)
        private.chmod(0o600)
    device.wrap = as_user(AGENT)
    device.start()
    assert device.process
    (bundle / "pyproject.toml").write_text(MANIFEST)
    for name, text in {"__init__": "", "server": SERVER, "client": CLIENT}.items():
        (bundle / f"hostile/{name}.py").write_text(text)
    told = {
        "agent": device.process.pid,
        "state": device.state,
        "data": data,
        "config": device.config,
        "socket": sockets / "agent.sock",
        "owner": sockets / "owner.sock",
        "forged": folder / "forged",
        "loot": folder / "loot",
    }
    (folder / "forged").write_text(" ".join(each.hex() for each in forged()))
    found = pushed(folder, bundle, told)
    assert found["uid"] == NODE
    check_powerless(found["status"], NODE)  # otherwise nothing here proves anything
    check_denied(found)
    for answered in found["forged"]:
        assert "Refusal" in answered, answered
    assert device.process.poll() is None
    status = Path(f"/proc/{device.process.pid}/status").read_text()
    assert f"Uid:\t{AGENT}\t{AGENT}" in status
    assert device.budget.counter == 0
    claims = device.state / "claims.json"
    assert not claims.exists() or not json.loads(claims.read_bytes())["runs"]


def pushed(folder: Path, bundle: Path, told: dict[str, Any]) -> dict[str, Any]:
    """What the bundle found out on a SuperNode under a user of its own."""
    port, home = free_port(), folder / "home"
    home.mkdir()
    (home / "config.toml").write_text(CONNECTION.format(port=port))
    link = ("--insecure", "--host", "127.0.0.1", "--port", str(port))
    with ExitStack() as stack:
        words = (*link, "--disable-runtime-dependency-installation")
        stack.enter_context(running("flower-superlink", *words, folder=folder))
        wait_for_port(port)
        stack.enter_context(supernode(folder, port, told["socket"]))
        config = " ".join(
            f"{name}={value}" if isinstance(value, int) else f'{name}="{value}"'
            for name, value in told.items()
        )
        with (folder / "flwr.log").open("wb") as log:
            flwr = [str(BIN / "flwr"), "run", ".", "here", "-c", config]
            subprocess.run(
                flwr, cwd=bundle, env=environment(home), stdout=log, stderr=log, timeout=60, check=True
            )
        deadline = time.monotonic() + 90
        while not (folder / "loot").exists() and time.monotonic() < deadline:
            time.sleep(0.5)
    logs = "".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
    assert (folder / "loot").exists(), logs
    loot: dict[str, Any] = json.loads((folder / "loot").read_text())
    return loot


@contextmanager
def supernode(folder: Path, port: int, socket: Path) -> Iterator[None]:
    """In an environment of its own, as a user of its own."""
    home, programs = folder / "node", node_environment() / "bin"
    owned_by(NODE, home)
    words = ("--insecure", "--superlink", f"127.0.0.1:{port}", "--port", str(free_port()))
    config = ("--node-config", f'agent="{socket}"')
    more = {"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin"}
    with running(
        "flower-supernode",
        *(*words, *config),
        folder=folder,
        wrap=as_user(NODE),
        home=home,
        more=more,
        programs=programs,
    ):
        yield


def check_denied(found: dict[str, Any]) -> None:
    denied = "config data state identity budget pause memory environ descriptors kill unlink move owner root"
    for name in denied.split():
        assert found[name].startswith("PermissionError"), (name, found[name])
    assert found["own home"].startswith("[")  # what it can do
    assert found["a daemon"].isdigit()


def test_the_supernodes_environment_has_no_torch_and_forwards_all_the_same() -> None:
    check = (
        "import importlib.util as u, covey_client.app; print([u.find_spec(n) for n in ('torch', 'opacus')])"
    )
    python = node_environment() / "bin/python"
    done = subprocess.run(
        [*as_user(NODE), str(python), "-c", check], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "[None, None]\n", done.stderr
