import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from covey.errors import InputError
from covey_io.lock import held

REFUSAL = InputError("in use", hint="wait")

HOLD = """
import sys
from pathlib import Path
from covey_io.lock import held
with held(Path(sys.argv[1]), None):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holding(path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_another_process_is_refused_or_waits(tmp_path: Path) -> None:
    path, took = tmp_path / "lock", list[bool]()

    def wait() -> None:
        with held(path, None):
            took.append(True)

    with holding(path) as child:
        with pytest.raises(InputError, match="in use"), held(path, REFUSAL):
            pass
        waiting = Thread(target=wait)
        waiting.start()
        waiting.join(0.1)
        assert not took
        assert child.stdin is not None
        child.stdin.write("go on\n")
    waiting.join(30)
    assert took == [True]


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holding(path) as child:
        child.kill()
    with held(path, REFUSAL):
        pass


def test_it_is_free_again_after_the_block_also_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), held(path, REFUSAL):
        raise ZeroDivisionError
    with held(path, REFUSAL), pytest.raises(InputError, match="in use"), held(path, REFUSAL):
        pass
    with held(path, REFUSAL):
        pass


def test_a_folder_can_be_held(tmp_path: Path) -> None:
    with held(tmp_path, REFUSAL), pytest.raises(InputError, match="in use"), held(tmp_path, REFUSAL):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_is_not_made_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), held(tmp_path / "gone", None, make=False):
        pass
    assert not list(tmp_path.iterdir())
