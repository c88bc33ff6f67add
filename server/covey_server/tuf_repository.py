"""What is published in a fleet's TUF repository: releases, instructions, policies and rosters.

Each call takes the keys at hand. Where they are not enough (the release key is with a person, snapshot and
timestamp are on the server) the change waits in REPO/staged for `tuf_ceremony.sign`. Serve REPO/metadata and
REPO/targets with any web server; devices leave the factory with REPO/metadata/1.root.json.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from covey.errors import InputError
from covey.rollout import instruction as instructions
from covey.rollout.plan import Image
from covey.rollout.published import (
    MODELS,
    POLICY,
    ROLLOUT,
    ROSTER,
    Published,
    from_custom,
    same_release,
    to_custom,
)
from covey_io.tuf_client import remote_name
from covey_io.tuf_metadata import Signer, TargetFile
from covey_server.tuf_ceremony import Clock
from covey_server.tuf_files import Draft, Files
from covey_server.tuf_publishing import DAY, Outcome, carry_out, is_half_over, next_version
from covey_server.tuf_roles import ONLINE, signer_of


def publish_model(  # noqa: PLR0913 - what a release is
    repo: Path,
    archive: bytes,
    image: Image,
    floor: int,
    signers: Sequence[Signer],
    *,
    now: Clock = time.time,
) -> Outcome:
    """Publish a release. No device installs it before an instruction names it.

    Args:
        repo: The repository.
        archive: The `.covey` file.
        image: What instructions will call it.
        floor: Lowest generation of this name that may still be installed from now on.
        signers: The release key, and snapshot and timestamp.
        now: The time.

    Raises:
        InputError: The image is not the archive's, its generation does not grow, or the floor falls.
        CoveyError: A device could not follow.
    """
    files, at = Files(repo), now()
    with files.locked():
        _check_image(archive, image)
        _check_grows(releases(repo), image, floor)
        custom = to_custom(
            Published(name=image.name, version=image.version, generation=image.generation, floor=floor)
        )
        target = TargetFile.from_data(image.target, archive, ["sha256"])
        target.unrecognized_fields["custom"] = custom
        return _add(files, target, archive, signers, at)


def check_model(repo: Path, archive: bytes, image: Image, floor: int) -> None:
    """Refuse what `publish_model` would refuse, before anything else is done about it.

    Raises:
        InputError: The image is not the archive's, its generation does not grow, or the floor falls.
    """
    _check_image(archive, image)
    _check_grows(releases(repo), image, floor)


def publish_instruction(
    repo: Path, data: bytes, signers: Sequence[Signer], *, now: Clock = time.time
) -> Outcome:
    """Tell devices what to run: replaces the instruction before.

    Args:
        repo: The repository.
        data: From `covey.rollout.instruction.to_bytes`.
        signers: Rollout, snapshot and timestamp.
        now: The time.

    Raises:
        ProtocolError: Malformed.
        InputError: Its serial does not grow, or it names what was not published or is below the floor.
        CoveyError: A device could not follow.
    """
    files, at = Files(repo), now()
    with files.locked():
        new = instructions.from_bytes(data)
        before = published_instruction(repo)
        if before is not None and new.serial <= before.serial:
            raise InputError(
                f"an instruction of serial {new.serial}, and {before.serial} is published",
                hint="the serial must grow",
            )
        known = releases(repo)
        for image in instructions.image_names(new):
            _check_published(known, image)
        return _add(files, TargetFile.from_data(instructions.TARGET, data, ["sha256"]), data, signers, at)


def publish_policy(repo: Path, data: bytes, signers: Sequence[Signer], *, now: Clock = time.time) -> Outcome:
    """Publish a signed policy as `policy/policy`, by the reviewers' keys. Raises as `publish_roster`."""
    return _publish_file(repo, f"{POLICY}/policy", data, signers, now)


def publish_roster(repo: Path, data: bytes, signers: Sequence[Signer], *, now: Clock = time.time) -> Outcome:
    """Publish a signed roster as `roster/roster`, by the owner's enrolment key.

    Raises:
        InputError: Nothing was begun here.
        CoveyError: A device could not follow.
    """
    return _publish_file(repo, f"{ROSTER}/roster", data, signers, now)


def refresh(
    repo: Path, signers: Sequence[Signer], *, days: float | None = None, now: Clock = time.time
) -> Outcome:
    """Renew the timestamp, and snapshot and rollout once half of their time is over: what a timer does.

    Args:
        repo: The repository.
        signers: Rollout, snapshot and timestamp.
        days: They hold so long this once, for a stick that is carried to an offline site: so long, whoever
            keeps newer files from a device can do so unnoticed. None for their usual time.
        now: The time.

    Raises:
        InputError: Nothing was begun here.
        CoveyError: A device could not follow.
    """
    files, at = Files(repo), now()
    with files.locked():
        draft = Draft({}, hold=None if days is None else int(days * DAY))
        rollout = files.needed(ROLLOUT)
        if draft.hold or is_half_over(rollout, ROLLOUT, at):
            draft.metadata[ROLLOUT] = next_version(files, ROLLOUT, at, draft.hold)
        return carry_out(files, draft, signers, at, keep=False)


def releases(repo: Path) -> dict[str, tuple[TargetFile, Published]]:
    """Every published release by its target's path."""
    current = Files(repo).current(MODELS)
    targets: dict[str, TargetFile] = {} if current is None else current.signed.targets
    return {path: (each, from_custom(each.custom, blame="operator")) for path, each in targets.items()}


def published_instruction(repo: Path) -> instructions.Instruction | None:
    """What devices are told now; None if nothing was said.

    Raises:
        InputError: The file is gone.
    """
    files = Files(repo)
    current = files.current(ROLLOUT)
    target = None if current is None else current.signed.targets.get(instructions.TARGET)
    if target is None:
        return None
    try:
        return instructions.from_bytes(files.target(target).read_bytes())
    except OSError as error:
        raise InputError(f"{files.target(target)}: {type(error).__name__}", hint="put it back") from error


class OnlinePublisher:
    """Publishes instructions by itself, with the keys that lie on the server.

    Args:
        repo: The repository.
        keys: Folder with rollout.key, snapshot.key and timestamp.key, not encrypted.
        now: The time.

    Raises:
        InputError: A key is missing or encrypted.
    """

    def __init__(self, repo: Path, keys: Path, *, now: Clock = time.time) -> None:
        self._repo = repo
        self._signers = tuple(signer_of(keys / f"{role}.key", _no_passphrase) for role in ONLINE)
        self._now = now

    def instruction(self, data: bytes) -> None:
        """Publish an instruction; see `publish_instruction`."""
        _done(publish_instruction(self._repo, data, self._signers, now=self._now))

    def refresh(self) -> None:
        """Renew what is about to expire; see `refresh`."""
        _done(refresh(self._repo, self._signers, now=self._now))


def _done(outcome: Outcome) -> None:
    if not outcome.published:
        raise InputError(f"not published: {'; '.join(outcome.waiting)}", hint="put the server's keys there")


def _no_passphrase() -> str:
    raise InputError("the server's keys are encrypted", hint="rollout, snapshot and timestamp must not be")


def _publish_file(repo: Path, path: str, data: bytes, signers: Sequence[Signer], now: Clock) -> Outcome:
    files, at = Files(repo), now()
    with files.locked():
        return _add(files, TargetFile.from_data(path, data, ["sha256"]), data, signers, at)


def _add(files: Files, target: TargetFile, data: bytes, signers: Sequence[Signer], now: float) -> Outcome:
    """A new version of the role that a path begins with, with one target more or another one."""
    role = target.path.partition("/")[0]
    metadata = next_version(files, role, now)
    metadata.signed.targets[target.path] = target
    return carry_out(files, Draft({role: metadata}, {remote_name(target): data}), signers, now)


def _check_image(archive: bytes, image: Image) -> None:
    if (len(archive), hashlib.sha256(archive).hexdigest()) != (image.bytes, image.sha256):
        raise InputError(
            f"{image.target}: the archive is not the image's", hint="make the image of this file"
        )
    if image.target != f"models/{image.name}/{image.version}.covey":
        raise InputError(f"{image.target}: a release of {image.name} {image.version} is called otherwise")


def _check_grows(known: dict[str, tuple[TargetFile, Published]], image: Image, floor: int) -> None:
    same = [each for _, each in known.values() if each.name == image.name]
    newest, lowest = max((e.generation for e in same), default=0), max((e.floor for e in same), default=1)
    if image.target in known:
        raise InputError(f"{image.target} is published already", hint="give the release another version")
    if image.generation <= newest:
        raise InputError(
            f"generation {image.generation}, and {newest} is published", hint=f"at least {newest + 1}"
        )
    if not lowest <= floor <= image.generation:
        raise InputError(
            f"a floor of {floor}",
            hint=f"from {lowest}, which it is now, to {image.generation}: it never falls",
        )


def _check_published(known: dict[str, tuple[TargetFile, Published]], image: Image) -> None:
    if image.target not in known:
        raise InputError(f"{image.target} is not published", hint="covey release publish, first")
    target, published = known[image.target]
    if (target.length, target.hashes["sha256"]) != (image.bytes, image.sha256) or not same_release(
        published, image
    ):
        raise InputError(
            f"{image.target} was published as something else", hint="name it as it was published"
        )
    floor = max(each.floor for _, each in known.values() if each.name == image.name)
    if image.generation < floor:
        raise InputError(f"{image.target} is below the floor", hint=f"devices install none below {floor}")
