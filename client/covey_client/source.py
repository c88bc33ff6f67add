"""Where releases come from, as the updater sees it: static files, verified before anything is believed.

`covey_client.repository` is the one over TUF, for HTTP and for a folder on a stick.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from covey.errors import CoveyError
from covey.rollout.plan import Image


class SourceUnreachable(CoveyError):  # noqa: N818 - as covey.errors names its own
    """Nothing answered, or not to the end: ask again later."""


class SourceExpired(CoveyError):  # noqa: N818
    """What answered is authentic and too old to be followed: nothing new is installed until it is renewed."""


class SourceRefused(CoveyError):  # noqa: N818
    """What answered is not what the fleet's keys signed, or older than what was seen: attack or defect."""


@dataclass(frozen=True)
class Offered:
    """What the fleet publishes now, verified.

    Attributes:
        instruction: `rollout/instruction.json` as published.
        floor: The security floor by model name: the lowest generation that may still be installed.
    """

    instruction: bytes
    floor: dict[str, int]


class Source(Protocol):
    """See the module."""

    def check(self) -> Offered | None:
        """Ask once; two requests where nothing has changed. None if the fleet publishes no instruction.

        Raises:
            SourceUnreachable: Nothing answered.
            SourceExpired: The metadata's time is over.
            SourceRefused: Not what the fleet's keys signed.
        """

    def fetch(self, image: Image, part: Path, watch: Callable[[int, int], None]) -> None:
        """Fetch an archive into a file, going on where the file ends; verified and on disk when it returns.

        Args:
            image: As the instruction names it; its generation must be the one that the release key signed.
            part: May hold the beginning of it, from before a stop.
            watch: Told bytes there are, and bytes in all.

        Raises:
            SourceUnreachable: Cut off; what came is kept in `part`.
            SourceExpired: The metadata's time is over.
            SourceRefused: Not what was signed; `part` is gone.
            OSError: The disk does not take it.
        """
