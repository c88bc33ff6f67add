"""What time it is, for commands that need to know; everything below them is told."""

from time import time


def now() -> int:
    """Unix seconds."""
    return int(time())
