"""A web server over a folder, in a process of its own, that notes what it is asked and every byte of it.

    releases_server.py FOLDER LOG

Its first line is its port. LOG gets a JSON line for each request: path, status, and bytes received and sent,
heads and bodies, as they are handed to TCP.
"""

import functools
import json
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Counting:
    """A file that is written, and how much."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.written = 0

    def write(self, data: bytes) -> int:
        self.written += len(data)
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Handler(SimpleHTTPRequestHandler):
    """One connection for many requests, and no waiting for full packets, as web servers do."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    status = 0

    def setup(self) -> None:
        """Count from the connection's first byte."""
        super().setup()
        self.wfile: Any = _Counting(self.wfile)

    def handle_one_request(self) -> None:
        """Answer, and note it."""
        before = self.wfile.written
        self.raw_requestline = b""
        super().handle_one_request()
        if not self.raw_requestline:
            return
        heads = f"{self.headers}".replace("\r\n", "\n").replace("\n", "\r\n")
        note = {
            "path": self.path,
            "status": self.status,
            "received": len(self.raw_requestline) + len(heads.encode()),
            "sent": self.wfile.written - before,
        }
        with LOG.open("a", encoding="ascii") as file:
            file.write(json.dumps(note) + "\n")

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""

    def log_request(self, code: Any = 0, size: Any = 0) -> None:
        """Keep the status."""
        del size
        self.status = int(code)


LOG = Path(sys.argv[2])

if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=sys.argv[1]))
    print(server.server_port, flush=True)
    server.serve_forever()
