"""Opens where releases come from. Its libraries are loaded here, and nowhere before."""

from collections.abc import Callable
from pathlib import Path

from covey.errors import InputError
from covey_client.source import Source


def open_source(address: str, root: Path, cache: Path, now: Callable[[], float]) -> Source:
    """The TUF repository at an address.

    Args:
        address: A URL, or a folder.
        root: The file of its root metadata, as the fleet's owner gave it.
        cache: A folder for the metadata that was seen; may be emptied.
        now: The time that the device goes by, unix seconds.

    Raises:
        InputError: There is no root metadata.
    """
    from covey_client.repository import Repository  # noqa: PLC0415 - its memory, only where it is used

    try:
        trusted = root.read_bytes()
    except OSError as error:
        raise InputError(
            f"{root}: {(error.strerror or str(error)).lower()}",
            hint="copy the repository's root metadata there; the fleet's owner has it",
        ) from error
    return Repository(trusted, cache, address, now)
