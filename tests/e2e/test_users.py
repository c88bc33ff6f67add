"""Users of their own are what the tests of separation believe that they are."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import short_folder
from node_environment import PYTHON, node_environment
from users import as_user, check_powerless, owned_by

ONE, OTHER = 4311, 4312

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give processes users of their own")


def run(uid: int, *words: "str | Path") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*as_user(uid), *map(str, words)], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        made.chmod(0o755)
        (made / "keys").mkdir()
        (made / "keys/private").write_text("secret")
        owned_by(ONE, made / "keys")
        yield made


def test_a_process_is_its_user_and_nothing_else() -> None:
    done = run(ONE, "cat", "/proc/self/status")
    check_powerless(done.stdout, ONE)
    with pytest.raises(AssertionError):
        check_powerless(done.stdout, OTHER)


@pytest.mark.parametrize(
    "weaker",
    [
        ["setpriv", f"--reuid={ONE}", f"--regid={ONE}", "--clear-groups", "--no-new-privs"],  # CapBnd
        [*as_user(ONE)[:-1]],  # NoNewPrivs
        [word for word in as_user(ONE) if word != "--clear-groups"] + ["--groups=0"],
        ["setpriv", *as_user(ONE)[2:]],  # root
    ],
)
def test_one_that_has_more_is_told_from_it(weaker: list[str]) -> None:
    status = subprocess.run([*weaker, "cat", "/proc/self/status"], capture_output=True, text=True, check=True)
    with pytest.raises(AssertionError):
        check_powerless(status.stdout, ONE)


def test_users_are_kept_from_one_another(folder: Path) -> None:
    assert run(ONE, "cat", folder / "keys/private").stdout == "secret"
    for words in (("cat", folder / "keys/private"), ("ls", folder / "keys"), ("touch", folder / "new")):
        done = run(OTHER, *words)
        assert done.returncode != 0
        assert "Permission denied" in done.stderr
    with subprocess.Popen([*as_user(ONE), "sleep", "60"]) as sleeper:
        try:
            assert "not permitted" in run(OTHER, "/bin/kill", "-9", str(sleeper.pid)).stderr
            assert "Permission denied" in run(OTHER, "ls", f"/proc/{sleeper.pid}/fd").stderr
        finally:
            sleeper.kill()


def test_nobody_becomes_root(folder: Path) -> None:
    program = folder / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)  # of root, and would be it for whoever runs it
    assert run(ONE, program, "-u").stdout == f"{ONE}\n"
    assert run(ONE, PYTHON, "-c", "import os; os.setuid(0)").stderr.endswith("Operation not permitted\n")


@pytest.mark.long
def test_the_nodes_python_is_for_every_user_and_carries_bytes_without_torch() -> None:
    check = "import importlib.util as u, flwr, covey_client.app; print(u.find_spec('torch'))"
    check += "; print(open('/proc/self/status').read())"
    done = run(OTHER, node_environment() / "bin/python", "-c", check)
    found, _, status = done.stdout.partition("\n")
    assert found == "None", done.stderr
    check_powerless(status, OTHER)
    assert run(OTHER, "test", "-w", node_environment()).returncode == 1
