"""What a slot's self-test came to, beside the slot: which package passed, and which of its models is best.

    DEVICE/slots/A            the package
    DEVICE/slots/A.tested     its archive's SHA-256, and the model that inference takes for "auto"

The record is removed before its slot is written: whoever finds one that fits knows that the package passed.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import rfc8785

from covey.package.archive import pack
from covey.package.contents import Variant
from covey.package.manifest import Sha256
from covey_io import durable

MOST_BYTES: Final = 1024


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of one slot.

    Attributes:
        sha256: Of the archive of the package that passed.
        variant: The model to run.
    """

    sha256: Sha256
    variant: Variant


def archive_sha256(files: Mapping[str, bytes]) -> str:
    """SHA-256 of the archive that holds these files: an archive has one spelling.

    Raises:
        PackageError: They are no package's.
    """
    return hashlib.sha256(pack(files)).hexdigest()


def read_record(slot: Path) -> Record | None:
    """What a slot's record says; None without one, or if it cannot be read: then nothing is known."""
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        with _path(slot).open("rb") as file:
            data = file.read(MOST_BYTES)
        return msgspec.json.decode(data, type=Record)
    return None


def write_record(slot: Path, record: Record) -> None:
    """Say durably that a package passed.

    Raises:
        OSError: The disk does not take it.
    """
    durable.replace(_path(slot), rfc8785.dumps(msgspec.to_builtins(record)))


def remove_record(slot: Path) -> None:
    """Say durably that nothing is known of a slot.

    Raises:
        OSError: The disk does not take it.
    """
    path = _path(slot)
    if path.exists():
        path.unlink()
        durable.sync_folder(path.parent)


def _path(slot: Path) -> Path:
    return slot.with_name(f"{slot.name}.tested")
