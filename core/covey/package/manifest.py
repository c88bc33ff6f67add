"""`manifest.json`: what a package says about itself, in the one spelling of RFC 8785.

The manifest is for people and programs that want to know what is in a package before they run it. What
protects it, and every other file, is the signature.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
import rfc8785

from covey.errors import PackageError
from covey.package.names import FP32, INT8, MANIFEST, SIGNATURE, check_sizes

FORMAT: Final = "covey-package/1"

ShortName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,63}\Z")]
Version = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z][0-9A-Za-z.+-]{0,63}\Z")]
# No control characters: labels go to terminals and logs.
Label = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f]{1,64}\Z")]
Axis = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
Shape = Annotated[tuple[Axis, ...], msgspec.Meta(min_length=1, max_length=4)]
Labels = Annotated[tuple[Label, ...], msgspec.Meta(min_length=2, max_length=4096)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a package.

    Attributes:
        name: Relative name in the package.
        bytes: Its length.
        sha256: Its digest, 64 hexadecimal digits.
    """

    name: str
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Sha256


class Variants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of each numeric variant of the model.

    Attributes:
        fp32: Single precision; always there.
        int8: Quantised; None when the package has none.
    """

    fp32: Literal["model.fp32.onnx"] = FP32
    int8: Literal["model.int8.onnx"] | None = INT8


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a package says about itself.

    Attributes:
        name: The package's name: lower-case letters, digits, '.', '_', '-'.
        version: Its version; compared for equality only.
        model: Name of the architecture in the registry of models.
        input_shape: Shape of one input, without the batch axis.
        labels: One name per class, in the order of the logits.
        variants: The model files.
        files: Every file but the manifest and the signature, sorted by name.
        format: The format's own name and version.
    """

    name: ShortName
    version: Version
    model: ShortName
    input_shape: Shape
    labels: Labels
    variants: Variants
    files: tuple[File, ...]
    format: Literal["covey-package/1"] = FORMAT


def encode(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json` (RFC 8785)."""
    return rfc8785.dumps(msgspec.to_builtins(manifest))


def decode(data: bytes) -> Manifest:
    """Read `manifest.json` strictly.

    Raises:
        PackageError: Not a manifest of this format, or not in its RFC 8785 spelling.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PackageError(f"{MANIFEST}: {error}", hint=f"expected the format {FORMAT}") from error
    if encode(manifest) != data:
        raise PackageError(f"{MANIFEST}: not in canonical form (RFC 8785)", hint="build the package again")
    if len(set(manifest.labels)) != len(manifest.labels):
        raise PackageError(f"{MANIFEST}: two classes have the same label")
    return manifest


def listing(files: Mapping[str, bytes]) -> tuple[File, ...]:
    """The manifest's list of `files`: all but the manifest itself and the signature."""
    return tuple(
        File(name=name, bytes=len(files[name]), sha256=hashlib.sha256(files[name]).hexdigest())
        for name in sorted(files)
        if name not in {MANIFEST, SIGNATURE}
    )


def check_listing(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Compare a package's files with its manifest.

    Raises:
        PackageError: Names every file (up to five) that was changed, added or removed.
    """
    check_sizes((name, len(content)) for name, content in files.items())
    found = {file.name: file.sha256 for file in listing(files)}
    expected = {file.name: file.sha256 for file in manifest.files}
    if problems := differences(expected, found, where="listed in the manifest"):
        raise PackageError(problems, hint="fetch the package again from its publisher")
    if listing(files) != manifest.files:
        raise PackageError(f"{MANIFEST}: its list of files has wrong sizes, or is not sorted by name")


def differences(expected: Mapping[str, str], found: Mapping[str, str], *, where: str) -> str:
    """Say what happened to the files between two lists of digests.

    Args:
        expected: Digest by name, as published.
        found: Digest by name, as found.
        where: What a file that was added is missing from: "signed", "listed in the manifest".

    Returns:
        "a.json has changed; b/c is not signed; d is missing" (at most five of them), or "".
    """
    words = [
        f"{name} is missing"
        if name not in found
        else f"{name} is not {where}"
        if name not in expected
        else f"{name} has changed"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    shown = words[:5] + ([f"and {len(words) - 5} more"] if len(words) > 5 else [])  # noqa: PLR2004 - as promised
    return "; ".join(shown)
