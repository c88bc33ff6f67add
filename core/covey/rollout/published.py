"""What the release key signs beside an archive, and who may sign which path of the repository.

A target's custom metadata, in the TUF role `models`: the operator's keys, which are online, can neither make
an older release look newer nor lower the floor under which none is installed.
"""

from typing import Annotated, Any, Final

import msgspec

from covey.errors import ProtocolError
from covey.package.manifest import ShortName, Version
from covey.rollout.plan import Image

MODELS: Final = "models"
POLICY: Final = "policy"
ROSTER: Final = "roster"
ROLLOUT: Final = "rollout"

PATHS: Final = {MODELS: "models/*/*", POLICY: "policy/*", ROSTER: "roster/*", ROLLOUT: "rollout/*"}
"""Delegated role to the paths that it may sign; "*" never crosses a "/"."""

Generation = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a release is, by the release key.

    Attributes:
        name: The package's.
        version: The package's.
        generation: Grows with every release of that name.
        floor: Lowest generation of that name that may still be installed once this was published.
    """

    name: ShortName
    version: Version
    generation: Generation
    floor: Generation


class Custom(msgspec.Struct, frozen=True, kw_only=True):
    """A target's custom metadata. Other keys are other programs'."""

    covey: Published


def to_custom(published: Published) -> dict[str, Any]:
    """As it stands in the metadata."""
    custom: dict[str, Any] = msgspec.to_builtins(Custom(covey=published))
    return custom


def from_custom(custom: object, *, blame: str) -> Published:
    """Read a target's custom metadata strictly.

    Raises:
        ProtocolError: None, or malformed.
    """
    try:
        found = msgspec.convert(custom, Custom).covey
    except msgspec.ValidationError as error:
        raise ProtocolError(f"a release's metadata is malformed: {error}", blame=blame) from error
    if found.floor > found.generation:
        raise ProtocolError("a release that is below its own floor", blame=blame)
    return found


def same_release(published: Published, image: Image) -> bool:
    """Whether an image is named as the release key named it."""
    return (published.name, published.version, published.generation) == (
        image.name,
        image.version,
        image.generation,
    )
