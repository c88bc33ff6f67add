"""`covey witness`: what its owner sees; and the server itself, killed as often as somebody likes."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from commands import invoked
from covey.errors import CoveyError, InputError, StateError
from covey.ledger.checkpoint import LogTrust, cosignatures_in, open_checkpoint, with_cosignatures
from covey.ledger.history import History
from covey.ledger.note import Cosigner, read_vkey
from covey_audit.witness_commands import witness as app
from covey_io.witness_client import Conflict, HttpWitness, LocalWitness
from covey_io.witness_store import WitnessFolder
from witnessed_log import FORK, HISTORY, LOG, ORIGIN, SIZE, signed


def run(*arguments: object) -> str:
    """What `covey witness` prints."""
    return invoked(app, *arguments).stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "witness"
    run("init", folder, "--name", "w.example", "--log", LOG.verifier.vkey)
    return folder


def cosign(folder: Path, old: int, new: int) -> None:
    answer = LocalWitness(folder).cosign(old, HISTORY.consistency(old, new), signed(new))
    assert isinstance(answer, str)


def test_init_prints_the_key_that_policies_name(tmp_path: Path) -> None:
    printed = run("init", tmp_path / "w", "--name", "audit.example.com/w1", "--log", LOG.verifier.vkey)
    assert read_vkey(printed) == WitnessFolder.open(tmp_path / "w").key.verifier
    assert WitnessFolder.open(tmp_path / "w").logs == {ORIGIN: LOG.verifier}


def test_a_log_can_be_named_by_a_file_and_later(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "log.vkey"
    path.write_text(f"{LOG.verifier.vkey}\n")
    run("init", tmp_path / "w", "--name", "w")
    assert run("add-log", tmp_path / "w", path) == f"cosigns {ORIGIN} from now on\n"
    assert WitnessFolder.open(tmp_path / "w").logs == WitnessFolder.open(folder).logs
    run("init", tmp_path / "v", "--name", "v", "--log", path)
    assert WitnessFolder.open(tmp_path / "v").logs == WitnessFolder.open(folder).logs


def test_show_tells_what_was_cosigned_last(folder: Path) -> None:
    vkey = (folder / "witness.vkey").read_text()
    assert run("show", folder) == f"{vkey}{ORIGIN}: nothing cosigned yet\n"
    cosign(folder, 0, 7)
    told = run("show", folder)
    assert f"{ORIGIN}: 7 entries, root {HISTORY.root(7).hex()}, 2" in told
    assert told.endswith(" UTC\n")
    facts = json.loads(run("show", folder, "--json"))
    time_seen = facts["logs"][0].pop("time")
    assert abs(time_seen - time.time()) < 600
    assert facts == {
        "name": "w.example",
        "vkey": vkey.strip(),
        "logs": [{"origin": ORIGIN, "size": 7, "root": HISTORY.root(7).hex()}],
    }


def test_arguments_that_cannot_be_used_are_said_with_the_next_step(tmp_path: Path, folder: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    for arguments in (
        ("init", folder, "--name", "w"),
        ("init", tmp_path / "w", "--name", "two words"),
        ("init", tmp_path / "w", "--name", "w", "--log", "no key"),
        ("init", tmp_path / "w", "--name", "w", "--log", binary),
        ("init", tmp_path / "w", "--name", "w", "--log", "x" * 5000),
        ("init", tmp_path / "w", "--name", "w", "--log", Cosigner("x", bytes(32), 0).verifier.vkey),
        ("add-log", folder, "no key"),
        ("add-log", tmp_path / "nowhere", LOG.verifier.vkey),
        ("show", tmp_path / "nowhere"),
        ("serve", tmp_path / "nowhere"),
        ("serve", folder, "--host", "192.0.2.1", "--port", 0),
    ):
        with pytest.raises(InputError) as caught:
            run(*arguments)
        assert caught.value.hint, arguments
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "w").exists()


def test_a_damaged_memory_is_a_finding(folder: Path) -> None:
    cosign(folder, 0, 7)
    next((folder / "latest").iterdir()).write_bytes(b"")
    with pytest.raises(StateError, match="is damaged") as caught:
        run("show", folder)
    assert caught.value.exit_status == 1


# The server, as a process of its own.

PROGRAM = "from covey_audit.witness_commands import witness; witness()"


class Server:
    """A running `covey witness serve`."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process = process
        self.url = url

    def kill(self) -> None:
        """SIGKILL: no time for anything."""
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """A server with a free port; killed in the end if the test did not."""
    command = [sys.executable, "-c", PROGRAM, "serve", str(folder), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
            assert found is not None, line
            yield Server(process, found[1])
        finally:
            process.kill()
            process.wait()


def opened(folder: Path, answer: object, new: int, history: History = HISTORY) -> int:
    """The size of a checkpoint with the cosignature that was answered, verified as a device does."""
    assert isinstance(answer, str)
    trust = LogTrust(ORIGIN, LOG.verifier, (read_vkey((folder / "witness.vkey").read_text()),), 1)
    lines = cosignatures_in(answer, signed(new, history), trust.witnesses)
    return open_checkpoint(
        with_cosignatures(signed(new, history), lines), trust, blame="server"
    ).checkpoint.size


def test_a_served_witness_cosigns_a_log_and_refuses_its_fork_also_after_it_was_killed(folder: Path) -> None:
    with serving(folder) as server:
        witness = HttpWitness(server.url)
        for old, new in ((0, 3), (3, 3), (3, 20)):
            answer = witness.cosign(old, HISTORY.consistency(old, new), signed(new))
            assert opened(folder, answer, new) == new
        latest = witness.latest(ORIGIN)
        server.kill()
        with pytest.raises(CoveyError, match="no answer"):
            witness.latest(ORIGIN)
    with serving(folder) as server:
        witness = HttpWitness(server.url)
        assert witness.latest(ORIGIN) == latest
        assert witness.cosign(0, (), signed(20, FORK)) == Conflict(20)
        with pytest.raises(StateError, match="a fork"):
            witness.cosign(20, (), signed(20, FORK))
        with pytest.raises(StateError, match="does not continue"):
            witness.cosign(20, FORK.consistency(20, 30), signed(30, FORK))
        answer = witness.cosign(20, HISTORY.consistency(20, 30), signed(30))
        assert opened(folder, answer, 30) == 30
        run("add-log", folder, LOG.verifier.vkey)  # while it runs


def interrupted(process: "subprocess.Popen[str]") -> str:
    """What a process wrote that was interrupted, as a person does it: once more if nothing happens.

    Python drops an interrupt that comes while it runs a weak reference's callback.
    """
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return str(process.communicate(timeout=15)[1])
    raise AssertionError("it does not end")


def test_it_tells_its_owner_what_it_cosigned_and_ends_when_interrupted(folder: Path) -> None:
    with serving(folder) as server:
        HttpWitness(server.url).cosign(0, (), signed(3))
        HttpWitness(server.url).cosign(0, (), signed(4))
        told = interrupted(server.process)
    lines = told.splitlines()
    assert lines[:2] == [f"cosigned {ORIGIN} at 3 entries", "refused (409): 3 leaves were seen, not 0"]
    assert "Traceback" not in told


def test_a_private_key_given_as_a_logs_is_not_shown(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "log.pem").write_bytes(pem)
    with pytest.raises(InputError, match="it looks like a private one") as caught:
        run("init", tmp_path / "w", "--name", "w.example", "--log", tmp_path / "log.pem")
    assert pem.decode().splitlines()[1][:12] not in str(caught.value)


def test_a_taken_port_is_said(folder: Path) -> None:
    with serving(folder) as server:
        port = server.url.rpartition(":")[2]
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1 port {port}"):
            run("serve", folder, "--port", port)


@pytest.mark.parametrize("wait", [0.0, 0.02, 0.05])
def test_killed_at_any_moment_it_never_cosigned_more_than_it_remembers(folder: Path, wait: float) -> None:
    """The log asks as fast as it can; what left the witness before it died is on its disk."""
    given: list[int] = []

    def grow(url: str, first: threading.Event) -> None:
        witness = HttpWitness(url)
        with contextlib.suppress(CoveyError):
            for new in range(1, SIZE + 1):
                answer = witness.cosign(new - 1, HISTORY.consistency(new - 1, new), signed(new))
                given.append(opened(folder, answer, new))
                first.set()

    with serving(folder) as server:
        first = threading.Event()
        log = threading.Thread(target=grow, args=(server.url, first))
        log.start()
        assert first.wait(60)
        time.sleep(wait)
        server.kill()
        log.join()
    with serving(folder) as server:
        witness = HttpWitness(server.url)
        conflict = witness.cosign(0, (), signed(SIZE, FORK))
        assert isinstance(conflict, Conflict)
        assert conflict.size in {given[-1], given[-1] + 1}  # the last answer may have been lost on its way
        for size in range(1, conflict.size + 1):
            answer = witness.cosign(size, (), signed(size, FORK)) if size < conflict.size else Conflict(size)
            assert answer == conflict
        old, new = conflict.size, SIZE
        if old > 9:
            with pytest.raises(StateError):
                witness.cosign(old, FORK.consistency(old, new), signed(new, FORK))
        assert opened(folder, witness.cosign(old, HISTORY.consistency(old, new), signed(new)), new) == SIZE


def test_its_import_brings_nothing_heavy() -> None:
    program = (
        "import sys, covey_audit.witness_commands;"
        "loaded = {name.partition('.')[0] for name in sys.modules};"
        "heavy = loaded & {'torch', 'flwr', 'numpy', 'dp_accounting', 'scipy', 'matplotlib', 'jinja2'};"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
