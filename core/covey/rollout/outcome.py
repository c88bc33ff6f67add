"""What a device says of an image that it was told to run; leaves it only as a share of a private sum."""

from typing import Annotated, Literal

import msgspec

from covey.package.manifest import Sha256, ShortName

Result = Literal["waiting", "working", "succeeded", "failed"]
"""Not begun; between the download and the end of the trial; committed; rolled back or refused."""


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a rollout went on one device.

    Attributes:
        rollout: Its identifier.
        image: SHA-256 of the archive that it is about.
        ring: The device's, from 0.
        result: How far it came.
        served: Requests that the new model answered since it serves.
        errors: Of them, those that failed.
    """

    rollout: ShortName
    image: Sha256
    ring: Annotated[int, msgspec.Meta(ge=0, lt=8)]
    result: Result
    served: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] = 0
    errors: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] = 0
