"""The check for 64-bit ARM, against indexes that a test runs: what is a fault, and what says nothing."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flower_programs import free_port
from http_thread import in_a_thread

ROOT = Path(__file__).parents[1]
WARNED = "warning: no package of a device was looked up for aarch64"


@contextmanager
def index(status: int) -> Iterator[str]:
    """An index that answers everything with one status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with in_a_thread(server):
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"


def asked(url: str, command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    mine = {"UV_DEFAULT_INDEX": url, "UV_HTTP_RETRIES": "0", "UV_CACHE_DIR": str(folder / "cache")}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("UV_", "PIP_"))}
    return subprocess.run(
        command, env=kept | mine, capture_output=True, text=True, timeout=100, check=False, cwd=ROOT
    )


def in_ci() -> list[str]:
    """What continuous integration does with the check's status."""
    (found,) = re.findall(
        r"^(\.venv/bin/python tests/aarch64.*?^\})$", (ROOT / ".ci/run").read_text(), re.MULTILINE | re.DOTALL
    )
    script = found.replace(".venv/bin/python", sys.executable)
    return ["bash", "-euo", "pipefail", "-c", f"{script}\necho went on"]


@pytest.mark.parametrize("status", [404, 503, None])
def test_a_missing_wheel_fails_and_an_index_out_of_reach_warns(status: int | None, tmp_path: Path) -> None:
    check = [sys.executable, "tests/aarch64/resolve.py"]
    if status is None:
        url = f"http://127.0.0.1:{free_port()}/simple"
        alone, ci = asked(url, check, tmp_path), asked(url, in_ci(), tmp_path)
    else:
        with index(status) as url:
            alone, ci = asked(url, check, tmp_path), asked(url, in_ci(), tmp_path)
    if status == 404:
        assert (alone.returncode, ci.returncode) == (1, 1), alone.stderr
        assert "Python 3.11: cannot be installed from wheels" in alone.stdout
        assert "went on" not in ci.stdout
    else:
        assert (alone.returncode, ci.returncode) == (3, 0), alone.stderr
        assert "Python 3.13: the package index does not answer" in alone.stdout
        assert WARNED in ci.stdout
        assert ci.stdout.endswith("went on\n")
