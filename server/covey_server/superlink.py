"""Flower's SuperLink on 127.0.0.1: its command, its environment, and how it is asked.

Whoever reaches its control API may run code on every node, and the API asks for no password: it listens on
loopback alone, with a certificate that this host makes for itself, and a reverse proxy lets devices reach
what is theirs (server/deploy). Devices never see that certificate.
"""

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from covey.errors import StateError
from covey_io import durable
from covey_server.fleet_ca import new_authority
from covey_server.key_files import new_p256, write_private
from covey_server.marked import mark_of, marked
from covey_server.nodes import BOOK
from covey_server.server_file import ServerFile, StateFolder
from covey_server.supervision import Program

NAME: Final = "superlink"
CONNECTION: Final = "fleet"
HOST: Final = "127.0.0.1"
EXECUTOR: Final = "flower-superexec"
SERVER_APP: Final = "flwr-serverapp"
DAYS: Final = 3650
ANSWERS: Final = 2.0
"""Seconds within which it tells its health."""
ASKED: Final = 60.0
"""Seconds for a command of Flower's."""

_MANIFEST: Final = Path(__file__).parents[1] / "flower" / "pyproject.toml"
_SHIPPED: Final = Path(__file__).parent / "flower" / "pyproject.toml"
_CONFIG: Final = """[superlink]
default = "fleet"
[superlink.fleet]
address = "{host}:{port}"
root-certificates = {ca}
"""


def prepare(file: ServerFile) -> None:
    """Write what Flower reads: its connection, our bundle's manifest, a certificate for loopback.

    Args:
        file: The server's configuration.
    """
    folder = file.folder
    for path in (folder.superlink, folder.flower, folder.bundle):
        durable.make_folder(path, mode=0o700)
    _certify(folder.superlink)
    ca = json.dumps(str(folder.superlink / "ca.crt"))
    text = _CONFIG.format(host=HOST, port=file.superlink.port, ca=ca)
    durable.replace(folder.flower / "config.toml", text.encode(), mode=0o600)
    durable.replace(folder.bundle / "pyproject.toml", manifest())


def manifest() -> bytes:
    """The bundle: it names the apps that are installed here and on the devices, and holds no code."""
    return (_SHIPPED if _SHIPPED.exists() else _MANIFEST).read_bytes()


def program(file: ServerFile) -> Program:
    """The SuperLink as it is supervised."""
    folder = file.folder
    where = folder.superlink
    command = (
        *(_own("flower-superlink"), "--host", HOST, "--port", str(file.superlink.port)),
        *("--ssl-ca-certfile", str(where / "ca.crt")),
        *("--ssl-certfile", str(where / "tls.crt"), "--ssl-keyfile", str(where / "tls.key")),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        *("--database", str(where / "link.db")),
    )
    return Program(
        name=NAME,
        command=command,
        log=folder.log(NAME),
        probe=lambda: is_healthy(file),
        environment=environment(folder),
    )


def environment(folder: StateFolder) -> dict[str, str]:
    """Flower starts its own parts by bare name, and would report use and look for updates."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "FLWR_HOME": str(folder.flower),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "PYTHONUNBUFFERED": "1",
    }


def is_healthy(file: ServerFile) -> bool:
    """Whether it answers /health, and the executor that starts ServerApps is there."""
    if not marked(mark_of(file.folder.path, NAME), named=EXECUTOR):
        return False
    context = ssl.create_default_context(cafile=str(file.folder.superlink / "ca.crt"))
    connection = http.client.HTTPSConnection(HOST, file.superlink.port, timeout=ANSWERS, context=context)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def run_command(file: ServerFile, federation: Path) -> tuple[str, ...]:
    """`flwr run` of a federation, which prints the ServerApp's output until it ends.

    Args:
        file: The server's configuration.
        federation: The federation's file.
    """
    folder = file.folder
    values = {"federation": str(federation), "runs": str(folder.runs), "operator": file.operator}
    if file.sessions.address:
        values |= {"sessions": file.sessions.address, "nodes": str(folder.superlink / BOOK)}
    config = " ".join(f"{key}={json.dumps(value)}" for key, value in values.items())
    return (_own("flwr"), "run", str(folder.bundle), CONNECTION, "--stream", "-c", config)


def asked(file: ServerFile, words: Sequence[str]) -> Any:
    """What a command of Flower's says, as JSON.

    Args:
        file: The server's configuration.
        words: The command's, without `flwr`.

    Raises:
        StateError: It fails, or says something else.
    """
    command = [_own("flwr"), *words, CONNECTION, "--format", "json"]
    try:
        done = subprocess.run(  # noqa: S603 - words that the server wrote, no shell
            command,
            env={**os.environ, **environment(file.folder)},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=ASKED,
            check=False,
        )
        found = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise StateError(
            f"flwr {' '.join(words[:2])}: {type(error).__name__}", hint="covey fleet logs superlink"
        ) from error
    if not isinstance(found, dict) or not found.get("success"):
        reason = found.get("error-message") if isinstance(found, dict) else ""
        raise StateError(f"flwr {' '.join(words[:2])}: {reason}", hint="covey fleet logs superlink")
    return found


def connected(file: ServerFile) -> dict[str, int] | None:
    """How many SuperNodes are in which state, as Flower calls it; None if the SuperLink does not say.

    Args:
        file: The server's configuration.
    """
    try:
        nodes = asked(file, ("supernode", "list"))["nodes"]
    except (StateError, KeyError):
        return None
    return dict(Counter(str(node["status"]) for node in nodes))


def _certify(where: Path) -> None:
    """Once: the key of the authority is forgotten as soon as the certificate is signed."""
    if (where / "tls.crt").exists():
        return
    now, key = int(time.time()), new_p256()
    authority = new_authority("loopback", new_p256(), now)
    write_private(where / "tls.key", key, None)
    durable.replace(where / "ca.crt", authority.pem)
    made = authority.server(key.public_key(), (HOST, "localhost"), now, now + DAYS * 24 * 3600)
    durable.replace(where / "tls.crt", made)


def _own(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).parent / name)
