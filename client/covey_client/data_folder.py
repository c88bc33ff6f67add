"""What a device trains on: the table `[data]` of device.toml.

One `.npz` file (`covey_client.local_data`), or a folder of shards: `.npz` files, such as the recorder's
(`covey_client.recorder`), or with a schema CSV files (`covey_client.csv_windows`). Files are added or removed
whole (`covey_client.shards`).
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final

import msgspec

from covey.errors import ConfigError, DataError
from covey.examples import Examples, LocalData
from covey_client import csv_windows, local_data, shards
from covey_client.csv_windows import CsvSchema
from covey_client.local_data import FileData
from covey_client.shards import Division

Log = Callable[[str], None]
Days = Annotated[float, msgspec.Meta(ge=0, le=36500)]
Megabytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 30)]

NPZ: Final = "npz"
_WHOLE: Final = "put it back as it was, or remove it; new data comes in files of new names"


class DataTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[data]`.

    Attributes:
        path: An `.npz` file, or a folder.
        csv: How the CSV files of the folder are read; without, it holds `.npz` files.
        keep_days: Recorded shards older than this are removed; 0 to keep them.
        keep_mb: The oldest recorded shards are removed while all together are larger; 0 to keep them.
    """

    path: str
    csv: CsvSchema | None = None
    keep_days: Days = 0.0
    keep_mb: Megabytes = 0


@dataclass(frozen=True)
class FolderData:
    """A device's folder, read when it is first asked for: inside the answer, where a failure stays local.

    Attributes:
        folder: With its shards.
        classes: Labels lie below this.
        division: Where it is kept which examples are held out.
        csv: How CSV files are read; None for `.npz` files.
        log: Takes one line for the device's owner.
    """

    folder: Path
    classes: int
    division: Path
    csv: CsvSchema | None
    log: Log

    @cached_property
    def _local(self) -> LocalData:
        return read(self)

    @property
    def train(self) -> Examples:
        """Trained on."""
        return self._local.train

    @property
    def held_out(self) -> Examples:
        """Never trained on."""
        return self._local.held_out


@dataclass(frozen=True)
class _Found:
    """A shard's examples, and those that it names as held out itself."""

    sha256: str
    examples: Examples
    held_out: Examples | None


def data_of(table: DataTable, classes: int, state: Path, log: Log, source: str) -> FileData | FolderData:
    """A device's examples; nothing is read yet.

    Args:
        table: The owner's.
        classes: Labels lie below this.
        state: The folder of what the device never forgets.
        log: Takes one line for the owner.
        source: What an error calls the configuration.

    Raises:
        ConfigError: The schema cannot be followed, or is one for a single file.
    """
    path = Path(table.path)
    if table.csv is not None:
        csv_windows.check(table.csv, classes, source)
        if path.is_file():
            raise ConfigError(source, "data.path", "expected a folder of CSV files")
    if path.is_dir() or table.csv is not None:
        return FolderData(path, classes, division_path(state, path), table.csv, log)
    return FileData(path, classes, state / f"{path.stem}.split.json")


def division_path(state: Path, folder: Path) -> Path:
    """Where it is kept which examples of a folder are held out."""
    return state / f"{folder.name}.shards.json"


def read(data: FolderData) -> LocalData:
    """All examples of a folder; new shards are divided, durably, first.

    Raises:
        DataError: Names the file: it cannot be read, it has changed, or holds the same as another; or there
            are no two examples in all of them.
    """
    cut_by = NPZ if data.csv is None else csv_windows.fingerprint(data.csv)
    with shards.kept(data.division):
        before = shards.read(data.division, cut_by)
        found, after = _shards(data, before)
        if after != before:
            shards.write(data.division, after)
    sides = [_sides(each, after) for each in found]
    trained, held_out = [each for each, _ in sides], [each for _, each in sides]
    if not sum(map(len, trained)) or not sum(map(len, held_out)):
        count = sum(len(each.examples) for each in found)
        raise DataError(f"{data.folder}: {count} examples, expected two or more", hint="one is held out")
    return LocalData(Examples.join(trained), Examples.join(held_out))


def _shards(data: FolderData, division: Division) -> tuple[list[_Found], Division]:
    found: list[_Found] = []
    present: dict[str, str] = {}
    for name, content in _contents(data):
        path, sha256 = data.folder / name, shards.digest(content)
        if why := shards.refusal(division, name, sha256, present):
            raise DataError(f"{path}: {why}", hint=_WHOLE)
        shard = _decoded(data, str(path), sha256, content)
        _check_shape(shard, found[0] if found else shard, path)
        divided = 0 if shard.held_out is not None else len(shard.examples)
        division = shards.with_shard(division, name, sha256, divided)
        present[sha256] = name
        found.append(shard)
    return found, division


def _check_shape(shard: _Found, first: _Found, path: Path) -> None:
    wanted = first.examples.x.shape[1:]
    for part in (shard.examples, shard.held_out or shard.examples):
        if part.x.shape[1:] != wanted:
            raise DataError(f"{path}: inputs of shape {part.x.shape[1:]}, others have {wanted}")


def _contents(data: FolderData) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the shards, in order of their names; one that is removed meanwhile is left out."""
    try:
        names = shards.present_names(data.folder, {f".{NPZ}" if data.csv is None else ".csv"})
        for name in names:
            with suppress(FileNotFoundError):
                yield name, (data.folder / name).read_bytes()
    except OSError as error:
        raise DataError(f"{data.folder}: {error}", hint="check [data] path in device.toml") from error


def _decoded(data: FolderData, where: str, sha256: str, content: bytes) -> _Found:
    if data.csv is not None:
        examples = csv_windows.decoded(content, where, data.csv, data.classes, data.log)
        return _Found(sha256, examples, None)
    return _Found(sha256, *local_data.decoded(content, where, data.classes))


def _sides(shard: _Found, division: Division) -> tuple[Examples, Examples]:
    """Trained on and held out; a shard may say so itself."""
    if shard.held_out is not None:
        return shard.examples, shard.held_out
    cut = shards.cut_of(division, shard.sha256)
    return shard.examples.first(cut), Examples(shard.examples.x[cut:], shard.examples.y[cut:])
