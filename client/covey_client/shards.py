"""Which examples of a folder of files are trained on and which are held out, for ever.

A file of the folder is a shard: it is divided once, when it is first seen, durably and before any of it is
used. Shards come and go whole. One that has changed is refused by its name, since who was held out could not
be told any more; so is one with the content of another, whose examples would count twice. A shard is known by
its content: put back, or under a new name, it is divided as it was.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from covey.errors import DataError
from covey_client.split import Place
from covey_io import durable
from covey_io.lock import held

Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Shard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A file that was divided.

    Attributes:
        name: In its folder.
        sha256: Of its bytes, hexadecimal.
        examples: In it.
        cut: The first that is held out.
    """

    name: str
    sha256: Hash
    examples: Place
    cut: Place


class Division(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All shards that there ever were.

    Attributes:
        cut_by: How examples are cut from the files' bytes; another way would make other examples.
        shards: In the order in which they were seen; those that are gone as well.
    """

    cut_by: str
    shards: tuple[Shard, ...] = ()


def digest(data: bytes) -> str:
    """What a shard is known by."""
    return hashlib.sha256(data).hexdigest()


def refusal(division: Division, name: str, sha256: str, present: Mapping[str, str]) -> str:
    """Why a file must not be used; empty if it may.

    Args:
        division: As it is kept.
        name: The file's.
        sha256: Its content's.
        present: Names of the files before it in this reading, by their content.
    """
    if any(each.name == name and each.sha256 != sha256 for each in division.shards):
        return "it has changed since it was divided"
    if sha256 in present:
        return f"it holds the same as {present[sha256]}"
    return ""


def with_shard(division: Division, name: str, sha256: str, examples: int) -> Division:
    """The division with a file that may be used.

    Of new examples as many are held out as keep a quarter of all held out, and those are the last in order.

    Args:
        division: As it was.
        name: The file's.
        sha256: Its content's.
        examples: In it.
    """
    same = next((each for each in division.shards if each.sha256 == sha256), None)
    if same is not None and any(each.name == name for each in division.shards):
        return division
    cut = examples - _new_held_out(division.shards, examples) if same is None else same.cut
    added = Shard(name, sha256, examples, cut)
    return msgspec.structs.replace(division, shards=(*division.shards, added))


def cut_of(division: Division, sha256: str) -> int:
    """The first example of a shard that is held out."""
    return next(each.cut for each in division.shards if each.sha256 == sha256)


def _new_held_out(shards: Sequence[Shard], examples: int) -> int:
    distinct = {each.sha256: each for each in shards}.values()
    everything = sum(each.examples for each in distinct) + examples
    already = sum(each.examples - each.cut for each in distinct)
    return min(max(-(-everything // 4) - already, 0), examples)


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Keep every other process from a division while it is read, used and added to."""
    durable.make_folder(path.parent)
    with held(path.with_name(f".{path.name}.lock"), None):
        yield


def read(path: Path, cut_by: str) -> Division:
    """The division kept at `path`; a new one if there is none.

    Args:
        path: Where.
        cut_by: How examples are cut from files now.

    Raises:
        DataError: It is damaged, or was made of examples that were cut otherwise.
    """
    if not path.exists():
        return Division(cut_by)
    try:
        division = msgspec.json.decode(path.read_bytes(), type=Division)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = "put it back, or enrol the device anew"
        raise DataError(f"{path} is damaged: {error}", hint=hint) from error
    if division.cut_by != cut_by:
        raise DataError(
            f"{path}: examples were cut from the files by {division.cut_by!r}, now by {cut_by!r}",
            hint=f"put the schema back; for other data remove {path}, and count its cost anew",
        )
    return division


def write(path: Path, division: Division) -> None:
    """Keep a division, durably."""
    durable.replace(path, msgspec.json.encode(division) + b"\n")


def present_names(folder: Path, suffixes: Collection[str]) -> list[str]:
    """Names of the files in a folder that may be shards, in order; hidden ones are none."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix in suffixes and not path.name.startswith(".") and path.is_file()
    )
