"""The device's own log, for its owner: standard error, which systemd keeps."""

import sys
from contextlib import suppress


def to_log(line: str) -> None:
    """One line; a log that cannot be written must not become an answer."""
    with suppress(OSError):
        sys.stderr.write(f"covey: {' '.join(line.split())}\n")
        sys.stderr.flush()
