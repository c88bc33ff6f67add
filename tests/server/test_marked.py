"""What a server has started is found and ended by its own user too, who may not read every environment."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents import short_folder
from covey_server import marked
from covey_server.marked import MARK, mark_of
from node_environment import PYTHON
from users import as_user

SERVER, OTHER = 4321, 4322
SECRETIVE = (
    "import ctypes, sys, time; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0);"  # PR_SET_DUMPABLE
    "print('here', flush=True); time.sleep(60)"
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give processes users of their own")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that others may read, with the module, which needs nothing of covey."""
    with short_folder() as made:
        made.chmod(0o755)
        (made / "marked.py").write_bytes(Path(marked.__file__).read_bytes())
        (made / "marked.py").chmod(0o644)
        yield made


@contextmanager
def secretive(uid: int, mark: str, *words: str) -> "Iterator[subprocess.Popen[str]]":
    """A process whose environment only root may read."""
    made = subprocess.Popen(
        [*as_user(uid), str(PYTHON), "-c", SECRETIVE, *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PATH": os.defpath, MARK: mark},
    )
    with made:
        assert made.stdout
        assert made.stdout.readline() == "here\n"
        yield made
        made.kill()


def as_server(folder: Path, call: str) -> object:
    """What a function of the module gives to the server's user."""
    code = f"import json, sys; sys.path.insert(0, {str(folder)!r}); import marked; print(json.dumps({call}))"
    done = subprocess.run(
        [*as_user(SERVER), str(PYTHON), "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        cwd="/",
    )
    return json.loads(done.stdout)


def test_one_that_hides_its_environment_is_found_by_the_file_it_names_and_ended(folder: Path) -> None:
    state = Path("/srv/server")
    mark = mark_of(state, "superlink")
    with secretive(SERVER, mark, "--certificate", f"{state}/superlink/ca.crt") as process:
        hidden = subprocess.run(
            [*as_user(SERVER), "cat", f"/proc/{process.pid}/environ"],
            capture_output=True,
            check=False,
            cwd="/",
        )
        assert b"Permission denied" in hidden.stderr
        for each in (mark, mark_of(state, "")):
            assert as_server(folder, f"marked.marked({each!r})") == [process.pid]
        for each in (mark_of(state, "enrolment"), mark_of(Path("/srv/serve"), "")):
            assert as_server(folder, f"marked.marked({each!r})") == []
        assert as_server(folder, f"marked.end({mark!r}, grace=5)") == 1
        assert process.wait(5) == -15


def test_another_user_s_process_is_not_taken_for_one_whatever_it_names(folder: Path) -> None:
    mark = mark_of(Path("/srv/server"), "superlink")
    with secretive(OTHER, mark, "/srv/server/superlink/ca.crt") as process:
        assert as_server(folder, f"marked.marked({mark!r})") == []
        assert as_server(folder, f"marked.end({mark!r}, grace=0.1)") == 0
        assert process.poll() is None


def test_root_reads_marks_alone() -> None:
    mark = mark_of(Path("/srv/server"), "superlink")
    words = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    for given, found in (({MARK: mark}, True), ({}, False)):
        with subprocess.Popen(
            [*words, "/srv/server/superlink/ca.crt"], stdout=subprocess.PIPE, env={**os.environ, **given}
        ) as process:
            assert process.stdout
            process.stdout.readline()
            assert (marked.marked(mark) == [process.pid]) is found
            process.kill()
