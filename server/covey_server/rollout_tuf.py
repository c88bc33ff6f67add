"""Instructions in the fleet's TUF repository, with the keys that are online."""

import time
from pathlib import Path

from covey.errors import InputError
from covey.rollout import instruction as instructions
from covey.rollout.plan import Image
from covey.rollout.published import same_release
from covey_server.tuf_ceremony import Clock
from covey_server.tuf_repository import OnlinePublisher, published_instruction, releases


class TufPublisher:
    """A `covey_server.rollout_publishing.Publisher` over the repository.

    Args:
        repository: Its folder.
        keys: Folder with rollout.key, snapshot.key and timestamp.key.
        now: The time.

    Raises:
        InputError: The repository is not there, or a key is missing or encrypted.
    """

    def __init__(self, repository: Path, keys: Path, *, now: Clock = time.time) -> None:
        if not repository.is_dir():
            raise InputError(
                f"{repository} is no repository",
                hint="begin one with covey keys init, name it with --repository, or try with --plain FOLDER",
            )
        self._repository = repository
        self._online = OnlinePublisher(repository, keys, now=now)

    def instruction(self, data: bytes) -> None:
        """Publish an instruction; one that devices see already was published before a crash."""
        before = published_instruction(self._repository)
        if before is None or instructions.to_bytes(before) != data:
            self._online.instruction(data)

    def refresh(self) -> None:
        """Sign anew what would expire soon."""
        self._online.refresh()

    def check(self, data: bytes) -> None:
        """Refuse what could not be published, before it stands in the ledger.

        Raises:
            InputError: Something newer is published, or an image is not, or is below the security floor.
        """
        new, before = instructions.from_bytes(data, blame="local"), published_instruction(self._repository)
        if before is not None and before.serial >= new.serial:
            raise InputError(
                f"instruction {before.serial} is published, and this would be {new.serial}",
                hint="the rollouts' folder is older than the repository: put the newer one back",
            )
        for image in instructions.image_names(new):
            self._check_image(image)

    def _check_image(self, image: Image) -> None:
        known = releases(self._repository)
        target, published = known.get(image.target, (None, None))
        named = f"{image.name} {image.version}"
        if target is None or published is None:
            raise InputError(f"{named} is not published", hint="covey release publish, first")
        if target.hashes.get("sha256") != image.sha256 or not same_release(published, image):
            raise InputError(f"{named} was published as something else", hint="name it as it was published")
        floor = max(each.floor for _, each in known.values() if each.name == image.name)
        if image.generation < floor:
            raise InputError(
                f"{named} is below the security floor of {floor}",
                hint="plan a newer release, and start it with --supersede",
            )
