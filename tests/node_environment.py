"""The SuperNode's own environment: covey[node], without torch, where any user may run it."""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = Path("/usr/bin/python3")
"""Not the test's own interpreter: it may live where another user cannot go."""


def node_environment() -> Path:
    """Its folder; made once for each set of pins, kept between sessions, covey itself installed anew.

    Takes a minute the first time. Skips the test where there is no interpreter that another user can run.
    """
    version = [str(PYTHON), "-c", "import sys, venv; assert sys.version_info >= (3, 11)"]
    if not PYTHON.exists() or subprocess.run(version, capture_output=True, check=False).returncode:
        pytest.skip(f"{PYTHON} is no Python 3.11 with venv: on Debian, apt install python3-venv")
    pins = hashlib.sha256(
        b"".join((ROOT / each).read_bytes() for each in ("pyproject.toml", "constraints.txt"))
    )
    place = Path("/var/tmp") / f"covey-node-{pins.hexdigest()[:16]}"  # noqa: S108 - of the test's own, by root
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "bin/flower-supernode").exists():
            subprocess.run([PYTHON, "-m", "venv", "--clear", "--without-pip", place], check=True)
            _install(place, "--constraint", str(ROOT / "constraints.txt"), f"{ROOT}[node]")
        else:
            _install(place, "--no-deps", "--force-reinstall", str(ROOT))
    return place


def _install(place: Path, *words: str) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(place / "bin/python")]
    done = subprocess.run([*pip, "install", "--quiet", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"the SuperNode's environment cannot be made: {done.stderr[-800:]}")
