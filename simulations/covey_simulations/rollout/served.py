"""Static files over loopback HTTP, as any web server would serve them, and what was fetched."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Fetched:
    """How often each path was sent, whole.

    Attributes:
        address: Where the files are.
        paths: Path to number.
    """

    address: str = ""
    paths: Counter[str] = field(default_factory=Counter)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, path: str) -> None:
        """One more; devices ask at the same time."""
        with self.guard:
            self.paths[path] += 1

    def archives(self, sha256: str) -> int:
        """How often the release with this digest was sent: its file is named after it."""
        return sum(count for path, count in self.paths.items() if sha256 in path)


@contextmanager
def served(folder: Path) -> Iterator[Fetched]:
    """Serve a folder on a free port of the loopback interface."""
    fetched = Fetched()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder), fetched=fetched))
    fetched.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="releases", daemon=True)
    thread.start()
    try:
        yield fetched
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, fetched: Fetched, **keywords: Any) -> None:
        self._fetched = fetched
        super().__init__(*args, **keywords)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Count what was sent."""
        del size
        if code == 200:  # noqa: PLR2004 - OK
            self._fetched.add(self.path)
