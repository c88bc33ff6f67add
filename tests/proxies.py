"""The reverse proxies of server/deploy as a test runs them: on ports of its own, as this user."""

import getpass
import http.client
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from flower_programs import free_port, wait_for_port
from serving_host import ServingHost

DEPLOY = Path(__file__).parents[1] / "server" / "deploy"

MAIN = """
user {user};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/covey.conf;
}}
"""


class Proxy:
    """A proxy's port, and what is said to it.

    Args:
        port: On 127.0.0.1.
        ca: Whom the caller believes.
    """

    def __init__(self, port: int, ca: Path) -> None:
        self.port = port
        self.ca = ca

    def connected(self, timeout: float = 10) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout)
        context = ssl.create_default_context(cafile=str(self.ca))
        return context.wrap_socket(plain, server_hostname="localhost")

    def asked(self, method: str, path: str, body: bytes = b"", timeout: float = 10) -> int:
        """The status of an answer; 0 if the connection was cut off. The path is sent as it is."""
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=timeout, context=context)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            return connection.getresponse().status
        except (OSError, http.client.BadStatusLine):
            return 0
        finally:
            connection.close()


@contextmanager
def proxied(program: str, host: ServingHost) -> Iterator[Proxy]:
    """A proxy in front of a server; skipped where it is not installed.

    Args:
        program: "nginx" or "caddy".
        host: The server.
    """
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        pytest.skip(f"no {program}: apt-get install {'nginx-light' if program == 'nginx' else program}")
    folder = host.folder / "proxy"
    folder.mkdir()
    port = free_port()
    name = "nginx.conf" if program == "nginx" else "Caddyfile"
    text = (DEPLOY / name).read_text()
    for old, new in (
        ("/etc/covey/operator", str(host.operator)),
        ("/var/lib/covey-server", str(host.state)),
        ("/srv/covey-releases", str(host.folder / "releases")),
        ("127.0.0.1:9480", f"127.0.0.1:{host.port}"),
        ("127.0.0.1:9481", f"127.0.0.1:{host.enrolment}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        (":443 {", f":{port} {{\n\tbind 127.0.0.1"),
    ):
        text = text.replace(old, new)
    (folder / "covey.conf").write_text(text)
    (folder / "main.conf").write_text(MAIN.format(user=getpass.getuser(), folder=folder))
    command = {
        "nginx": [found, "-e", f"{folder}/nginx.log", "-p", str(folder), "-c", f"{folder}/main.conf"],
        "caddy": [found, "run", "--adapter", "caddyfile", "--config", f"{folder}/covey.conf"],
    }[program]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/bin"},
            start_new_session=True,
        )
    try:
        wait_for_port(port)
        yield Proxy(port, host.operator / "ca.crt")
    finally:
        workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(timeout=30)
        psutil.wait_procs(workers, timeout=10)


def trickle(sockets: list[ssl.SSLSocket], byte: bytes) -> int:
    """Send a byte on each; how many are still open."""
    alive = 0
    for each in sockets:
        try:
            each.sendall(byte)
            alive += 1
        except OSError:
            continue
    return alive


def closed_within(sockets: list[ssl.SSLSocket], byte: bytes, seconds: float) -> bool:
    """Whether all are cut off, though each sends a byte a second."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not trickle(sockets, byte):
            return True
        time.sleep(1)
    return False
