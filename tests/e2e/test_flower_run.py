"""`flwr run .` with a manifest-only bundle: a real SuperLink and real SuperNodes, on loopback."""

import json
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sklearn.datasets import load_digits

from covey import merkle
from covey import plan as plans
from covey.ledger.checkpoint import open_checkpoint
from covey.ledger.entries import AnyEntry, Reserve, Settle, kind_of
from covey.ledger.evidence import check
from covey.ledger.note import Ed25519Signer, read_vkey, signed
from covey.package.archive import unpack
from covey.package.verify import verify
from covey.secagg import evidence
from covey.secagg.terms import Terms
from covey_client.budget import FileJournal
from covey_io.witness_client import HttpWitness
from covey_server.fleet_keys import origin_of
from covey_server.operator import read_operator
from covey_server.run_folder import RunFolder
from covey_server.sum_rows import read_entries
from covey_server.summary import Summary, read
from flower_programs import BIN, CONNECTION, environment, free_port, group_members, running, wait_for_port
from sum_rows import recomputed

BUNDLE = Path(__file__).parents[2] / "server" / "flower"

FEDERATION = """
name = "pilot"

[model]
name = "digits"

[federation]
rounds = 1
minimum_devices = 2
validate_every = 1
round_timeout = 120.0

[privacy]
masks = false
noise = false

[training]
learning_rate = 0.1
"""

MASKED = """
name = "pilot"

[model]
name = "digits"

[federation]
rounds = 1
minimum_devices = 7
validate_every = 1
standardise = false
examples_cap = 64
update_clip = 1.0
round_timeout = 600.0

[privacy]
train_multiplier = 0.05
validate_multiplier = 0.05
calibrate_multiplier = 0.05

[training]
learning_rate = 0.1
"""


def set_up(folder: Path, federation: str, devices: int) -> None:
    """A folder with the devices' data and the federation's file."""
    digits = load_digits()
    x = (digits.images[:, None] / 16).astype(np.float32)
    for index in range(devices):
        np.savez(folder / f"pi{index}.npz", x=x[index::20], y=digits.target[index::20])
    (folder / "federation.toml").write_text(federation)
    (folder / "home").mkdir()


def agent(folder: Path, index: int, own: str) -> tuple[Path, Path]:
    """An agent's configuration and where it listens."""
    socket_path = folder / f"agent{index}.sock"
    text = f"""
{own}
[data]
path = "{folder}/pi{index}.npz"
[model]
name = "digits"
[socket]
path = "{socket_path}"
owner = "{folder}/owner{index}.sock"
"""
    path = folder / f"device{index}.toml"
    path.write_text(text)
    return path, socket_path


@contextmanager
def connected(folder: Path, own: list[str]) -> Iterator[list[int]]:
    """A SuperLink, and an agent and a SuperNode for each of `own`; gives their process groups.

    Args:
        folder: Of the test.
        own: What is at the top of each agent's configuration.
    """
    port = free_port()
    (folder / "home" / "config.toml").write_text(CONNECTION.format(port=port))
    link = (
        "--insecure",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--disable-runtime-dependency-installation",
    )
    node = ("--insecure", "--superlink", f"127.0.0.1:{port}", "--node-config")
    with ExitStack() as stack:
        started = [stack.enter_context(running("flower-superlink", *link, folder=folder))]
        wait_for_port(port)
        for index, config in enumerate(own):
            path, listening = agent(folder, index, config)
            agents = ("-m", "covey_client.running", str(path))
            started.append(stack.enter_context(running(f"python@{index}", *agents, folder=folder)))
            words = (*node, f'agent="{listening}"')
            name = f"flower-supernode@{index}"
            started.append(
                stack.enter_context(running(name, *words, "--port", str(free_port()), folder=folder))
            )
        yield [process.pid for process in started]


def flwr_run(folder: Path, *, timeout: int = 200) -> str:
    config = f'federation="{folder}/federation.toml" runs="{folder}/runs" operator="{folder}/keys/operator"'
    done = subprocess.run(
        [str(BIN / "flwr"), "run", ".", "here", "--stream", "-c", config],
        cwd=BUNDLE,
        env=environment(folder / "home"),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.timeout(280)
def test_flwr_run_trains_over_a_real_superlink_and_leaves_no_process(tmp_path: Path) -> None:
    set_up(tmp_path, FEDERATION, 2)
    own = [f'unprotected = true\nstate = "{tmp_path}/state{index}"' for index in range(2)]
    with connected(tmp_path, own) as groups:
        output = flwr_run(tmp_path)
    assert "round 1/1" in output, output
    summary = read(tmp_path / "runs" / "pilot" / "summary.json")
    check_summary(summary, 2)
    assert summary.privacy.statement.startswith("NO MASKS: the server saw every answer; NO NOISE")
    key = (tmp_path / "runs" / "pilot" / "keys" / "release.pub.pem").read_bytes()
    package = verify(unpack(Path(summary.package or "").read_bytes()), key)
    assert package.variants == ("fp32", "int8")
    assert opened(tmp_path) == [("statistics", 2), ("train", 2), ("validate", 2), ("calibrate", 2)]
    assert not any(group_members(group) for group in groups)


def covey(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "covey"), *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def agree(folder: Path) -> None:
    """The policy that the federation asks for: drafted by the operator, signed by the reviewer."""
    purpose = ("--purpose", "Read digits that people wrote by hand.")
    draft = covey(folder, "fleet", "policy", "federation.toml", "keys/operator", "--days", "1", *purpose)
    assert draft.returncode == 0, draft.stderr
    key = load_pem_private_key((folder / "keys/reviewer/reviewer.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    name = read_vkey((folder / "keys/reviewer/reviewer.vkey").read_text()).name
    note = signed(draft.stdout, Ed25519Signer(name, key.private_bytes_raw()))
    (folder / "keys/operator/policy").write_bytes(note)


@contextmanager
def witnessing(folder: Path) -> Iterator[str]:
    """The fleet's witness as a server of its own, known to the operator; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    known = folder / "keys/operator/witnesses"
    known.write_text(f"{known.read_text().split()[0]} {url}\n")
    words = ("witness", "serve", f"{folder}/keys/witness", "--port", str(port))
    with running("covey@witness", *words, folder=folder):
        wait_for_port(port)
        yield url


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_masked_round_with_ten_devices_own_keys_and_noise_runs_every_stage(tmp_path: Path) -> None:
    set_up(tmp_path, MASKED, 10)
    names = [f"pi{index}" for index in range(10)]
    made = covey(tmp_path, "fleet", "init", "keys", *names, "--name", "pilot", "--days", "2")
    assert made.returncode == 0, made.stderr
    agree(tmp_path)
    own = [f'state = "{tmp_path}/keys/devices/{name}"' for name in names]
    with witnessing(tmp_path) as witness, connected(tmp_path, own) as groups:
        output = flwr_run(tmp_path, timeout=1500)
        latest = HttpWitness(witness).latest(origin_of("pilot"))
        audit = covey(
            tmp_path,
            *("audit", "runs/pilot", "--reviewer", "keys/reviewer/reviewer.vkey"),
            *("--enrolment", "keys/operator/enrolment.pub", "--witnessed", witness),
        )
    assert "round 1/1" in output, output
    assert "not counted" not in output
    summary = read(tmp_path / "runs" / "pilot" / "summary.json")
    check_summary(summary, 10)
    assert summary.accuracy_federated > 0.2  # ten digits: guessing is right in a tenth
    claimed = summary.privacy
    assert (claimed.masks, claimed.noise, claimed.simulated) == ("on", "skellam", False)
    assert claimed.statement.startswith("masked sums: the server saw no single answer; ε = ")
    rows = sum_rows_of(tmp_path)
    assert claimed.epsilon_server == pytest.approx(recomputed(rows, claimed.delta, "server"), abs=0.001)
    assert claimed.epsilon_release == pytest.approx(recomputed(rows, claimed.delta, "release"), abs=0.001)
    assert opened(tmp_path) == [("train", 10), ("validate", 10), ("calibrate", 10)]
    assert all(len(row["u1"]) == 64 for row in rows if row["event"] == "settle")
    check_ledger(tmp_path, latest)
    for name in names:  # what a device will not do twice outlives its process
        kept = json.loads((tmp_path / "keys/devices" / name / "claims.json").read_bytes())
        (run,) = kept["runs"].values()
        assert run["sum"] == 3
        assert {"advertise", "share", "masked", "consistency", "unmask"} <= set(run["stages"])
        check_budget(tmp_path, name)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert not any(group_members(group) for group in groups)


def entries_of(folder: Path) -> list[AnyEntry]:
    return read_entries(RunFolder.open(folder / "runs/pilot").ledger)


def reserved(folder: Path) -> dict[str, Reserve]:
    """Reserves, by their plans."""
    found = entries_of(folder)
    return {plans.digest(each.plan): each for each in found if isinstance(each, Reserve)}


def check_ledger(folder: Path, latest: bytes | None) -> None:
    """It has every sum; its head is what the witness cosigned last; evidence shows who was in each sum."""
    found, files = entries_of(folder), RunFolder.open(folder / "runs/pilot").ledger
    sums = ["round.reserve", "round.settle"] * 3
    assert [kind_of(each) for each in found] == [
        "enrol",
        "run.policy",
        *sums,
        "metrics.release",
        "model.release",
    ]
    trusted = read_operator(folder / "keys/operator", policy=True)
    assert trusted.policy
    data = files.head()
    assert data == latest
    assert data
    head = open_checkpoint(data, trusted.policy.policy.log_trust(), blame="test").checkpoint
    lines, _ = files.lines()
    assert (head.size, head.root) == (len(lines), merkle.root(lines))
    settles = [each for each in found if isinstance(each, Settle)]
    assert {each.plan for each in settles} == set(reserved(folder))
    for settle in settles:
        content = files.evidence(settle.plan)
        assert content
        assert sha256(content).hexdigest() == settle.evidence
        terms = Terms.of(reserved(folder)[settle.plan].plan)
        shown = check(evidence.from_bytes(content, blame="test"), terms, trusted.roster, settle, blame="test")
        assert [each.device for each in shown.survivors] == [f"pi{index}" for index in range(10)]


def check_budget(folder: Path, name: str) -> None:
    """What a device has on its disk agrees with the ledger."""
    budget = FileJournal(folder / "keys/devices" / name / "budget.jsonl").budget
    assert list(budget.reserved) == list(reserved(folder))
    assert (budget.counter, budget.unsettled, budget.locked) == (3, frozenset(), "")
    (seen,) = budget.seen.values()
    lines, _ = RunFolder.open(folder / "runs/pilot").ledger.lines()
    assert seen.root == merkle.root(lines[: seen.size]).hex()
    assert seen.size == 7  # with the third sum's reserve
    trusted = read_operator(folder / "keys/operator", policy=True)
    assert budget.policy
    assert budget.policy.sha256 == (trusted.policy and trusted.policy.sha256)


def sum_rows_of(folder: Path) -> list[dict[str, Any]]:
    return RunFolder.open(folder / "runs/pilot").sum_rows()


def opened(folder: Path) -> list[tuple[str, int]]:
    """What was opened, and how many devices were in it."""
    return [(row["kind"], row["devices"]) for row in sum_rows_of(folder) if row["event"] == "settle"]


def check_summary(summary: Summary, devices: int) -> None:
    assert summary.devices == devices
    assert not summary.simulation
    assert 0 <= summary.accuracy_federated <= 1
    # what would need pooled or per-device data
    assert summary.accuracy_central is None
    assert summary.accuracy_fp32 is None
    assert summary.accuracy_int8 is None


def test_the_bundle_holds_a_manifest_and_no_code(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "pyproject.toml").write_bytes((BUNDLE / "pyproject.toml").read_bytes())
    assert [path.name for path in BUNDLE.iterdir()] == ["pyproject.toml"]
    subprocess.run(
        [str(BIN / "flwr"), "build"],
        cwd=bundle,
        env=environment(tmp_path / "home"),
        check=True,
        capture_output=True,
    )
    (fab,) = bundle.glob("*.fab")
    with zipfile.ZipFile(fab) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".py")]
        assert "pyproject.toml" in archive.namelist()
