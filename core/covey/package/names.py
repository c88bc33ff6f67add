"""Which names a file in a package may have, and what the standard files are called."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from covey.errors import PackageError

MANIFEST = "manifest.json"
SIGNATURE = "model.sig"
FP32: Final = "model.fp32.onnx"
INT8: Final = "model.int8.onnx"
PREPROCESSING = "preprocessing.json"
LABELS = "labels.json"
CARD = "README.md"
PROVENANCE: Final = "provenance.json"
BOM: Final = "bom.json"
GOLDEN_INPUTS = "golden/inputs.npy"
GOLDEN_OUTPUTS = {"fp32": "golden/outputs.fp32.npy", "int8": "golden/outputs.int8.npy"}

# One byte less than the name field of a ustar header: its final NUL stays.
MAX_NAME = 99
MAX_FILES = 64
MAX_BYTES = 64 * 1024 * 1024

_PART = re.compile(r"[A-Za-z0-9._-]+")


def check_name(name: str) -> None:
    """Refuse a name that could leave the folder it is unpacked into, or that reads ambiguously.

    Args:
        name: A relative path with "/" between its parts, each of A-Z a-z 0-9 . _ - alone.

    Raises:
        PackageError: The name is absolute, too long, or has a part that is empty, "." or "..".
    """
    parts = name.split("/")
    if len(name) > MAX_NAME or not all(_PART.fullmatch(part) for part in parts) or {".", ".."} & set(parts):
        raise PackageError(
            f"{name[: MAX_NAME + 1]!a}: a package cannot hold a file of this name",
            hint=f"relative, at most {MAX_NAME} characters, parts of letters, digits, '.', '_' and '-'",
        )


def check_sizes(sizes: Iterable[tuple[str, int]]) -> None:
    """Refuse a set of files that no package may hold.

    Args:
        sizes: Name and bytes of each file.

    Raises:
        PackageError: A name is unsafe, is also the folder of another file, or there is too much.
    """
    listed = sorted(sizes)
    for name, _ in listed:
        check_name(name)
    # By parts: as strings, "a-b" and "a.b" would come between a file "a" and "a/b".
    for shorter, longer in pairwise(sorted(name.split("/") for name, _ in listed)):
        if longer[: len(shorter)] == shorter:
            raise PackageError(f"{'/'.join(longer)}: clashes with the file {'/'.join(shorter)}")
    if len(listed) > MAX_FILES:
        raise PackageError(f"{len(listed)} files: a package holds at most {MAX_FILES}")
    if sum(size for _, size in listed) > MAX_BYTES:
        raise PackageError(f"the files are larger than the {MAX_BYTES >> 20} MiB that a package may hold")
