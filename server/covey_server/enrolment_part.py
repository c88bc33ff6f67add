"""The enrolment endpoint as a part of the server: `covey fleet listen` on loopback, behind the proxy."""

import http.client
import sys
from pathlib import Path
from typing import Final

from covey_server.server_file import ServerFile
from covey_server.supervision import Program

NAME: Final = "enrolment"
HOST: Final = "127.0.0.1"
ANSWERS: Final = 2.0
"""Seconds within which it answers."""


def program(file: ServerFile) -> Program | None:
    """The endpoint as it is supervised; None where none is wanted, or the fleet takes no devices this way.

    Args:
        file: The server's configuration.
    """
    if not file.enrolment.port or not (Path(file.operator) / "ca.crt").exists():
        return None
    covey = str(Path(sys.executable).parent / "covey")
    where = ("--host", HOST, "--port", str(file.enrolment.port), "--proxied")
    return Program(
        name=NAME,
        command=(covey, "fleet", "listen", file.operator, *where),
        log=file.folder.log(NAME),
        probe=lambda: _is_healthy(file.enrolment.port),
        environment={"PYTHONUNBUFFERED": "1"},
    )


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWERS)
    try:
        connection.request("GET", "/enrol/ca")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
