"""Read a file that somebody named; where it cannot be read, say which and why."""

from pathlib import Path

from covey.errors import InputError


def read_file(path: Path) -> bytes:
    """The whole content of a file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path | str, error: OSError, hint: str = "check the path") -> InputError:
    """What to raise where `path` could not be read: its name, the system's reason, and what to do next."""
    return InputError(f"{path}: {(error.strerror or str(error)).lower()}", hint=hint)
