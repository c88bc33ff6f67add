"""The repository behind Debian's nginx, from the operator's commands to a device."""

import getpass
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from flower_programs import free_port, wait_for_port
from tuf_world import ARCHIVE, World, made_world

CONFIGURATION = """
user {user};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    log_format short '$request_uri $status $http_range';
    access_log {folder}/access.log short;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location /releases/metadata/ {{ alias {repo}/metadata/; }}
        location /releases/targets/ {{ alias {repo}/targets/; }}
    }}
}}
"""


@contextmanager
def nginx(world: World) -> Iterator[tuple[str, Path]]:
    """Address, and the log of requests."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        pytest.skip("no nginx: apt-get install nginx-light")
    folder, port = world.folder / "nginx", free_port()
    folder.mkdir()
    text = CONFIGURATION.format(user=getpass.getuser(), folder=folder, port=port, repo=world.repo)
    (folder / "main.conf").write_text(text)
    process = subprocess.Popen(
        [found, "-e", f"{folder}/nginx.log", "-p", str(folder), "-c", f"{folder}/main.conf"],
        stdin=subprocess.DEVNULL,
        env={"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/bin"},
        start_new_session=True,
    )
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}/releases", folder / "access.log"
    finally:
        workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(timeout=30)
        psutil.wait_procs(workers, timeout=10)


@pytest.mark.timeout(120)
def test_releases_behind_nginx(tmp_path: Path) -> None:
    world = made_world(tmp_path)
    image = world.publish("1.0+build.1", 1)
    data = world.instruct(1, image)
    part = tmp_path / "part"
    with nginx(world) as (address, log):
        device = world.device(address)
        found = device.check()
        assert found
        assert found.instruction == data
        before, read = device.requests, len(log.read_text().splitlines())
        assert device.check() == found
        assert device.requests - before == 2
        assert [line.split()[:2] for line in log.read_text().splitlines()[read:]] == [
            ["/releases/metadata/2.root.json", "404"],
            ["/releases/metadata/timestamp.json", "200"],
        ]
        for have in (0, 1, 50_000, len(ARCHIVE) - 1):
            part.write_bytes(ARCHIVE[:have])
            device.fetch(image, part, lambda *_: None)
            assert part.read_bytes() == ARCHIVE
            status, asked = log.read_text().splitlines()[-1].split()[1:]
            assert (status, asked) == (("206", f"bytes={have}-") if have else ("200", "-"))
        world.instruct(2, image)
        assert device.check() != found
