"""What a stick carries to a site without a network: metadata, the instruction, and what it names."""

import shutil
from pathlib import Path

from covey.errors import InputError
from covey.rollout import instruction as instructions
from covey.rollout.published import ROLLOUT
from covey_io import durable
from covey_server.tuf_files import METADATA, TARGET_FILES, Files
from covey_server.tuf_repository import published_instruction, releases
from covey_server.tuf_roles import DELEGATED, SNAPSHOT, TARGETS, TIMESTAMP


def bundle(repo: Path, out: Path) -> tuple[Path, ...]:
    """Write a folder that a device takes as an address, instead of a web server's.

    Args:
        repo: The repository.
        out: Must not exist.

    Returns:
        The targets' files in it.

    Raises:
        InputError: There is something at `out`, nothing was published, or a file is gone.
        OSError: The disk does not take it.
    """
    if out.exists():
        raise InputError(f"{out} is there already", hint="name another folder")
    files = Files(repo)
    with files.locked():
        names = [*_metadata(files), *(targets := _targets(files))]
        making = out.with_name(f".{out.name}.part")
        shutil.rmtree(making, ignore_errors=True)
        for name in names:
            _copy(repo / name, making / name)
    making.rename(out)
    durable.sync_folder(out.parent)
    return tuple(out / name for name in targets)


def _metadata(files: Files) -> list[str]:
    roots = [str(p.relative_to(files.repo)) for p in (files.repo / METADATA).glob("*.root.json")]
    roles = [SNAPSHOT, TARGETS, *DELEGATED]
    versions = {role: found.signed.version for role in roles if (found := files.current(role)) is not None}
    names = [f"{METADATA}/{version}.{role}.json" for role, version in versions.items()]
    return [*sorted(roots), f"{METADATA}/{TIMESTAMP}.json", *names]


def _targets(files: Files) -> list[str]:
    """The instruction and every archive that it may send a device to."""
    instruction = published_instruction(files.repo)
    if instruction is None:
        raise InputError("no instruction is published: a stick would change nothing", hint="begin a rollout")
    known = releases(files.repo)
    found = [known[image.target][0] for image in instructions.image_names(instruction)]
    found.append(files.needed(ROLLOUT).signed.targets[instructions.TARGET])
    below = files.repo / TARGET_FILES
    return sorted({f"{TARGET_FILES}/{files.target(each).relative_to(below)}" for each in found})


def _copy(source: Path, target: Path) -> None:
    try:
        data = source.read_bytes()
    except OSError as error:
        raise InputError(f"{source}: {type(error).__name__}", hint="put it back") from error
    durable.make_folder(target.parent)
    durable.replace(target, data)
