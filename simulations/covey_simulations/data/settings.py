"""The `[data]` table of a federation file, and which of its values fit together."""

from typing import Annotated, Final, Literal

import msgspec

from covey.errors import InputError

SUBJECTS: Final = 10
"""Subjects of the wrist data, numbered from 1."""

DEVICES: Final = 20
"""Devices when none are asked for: as many as the wrist data has."""


class DataSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which data a federation trains on and how it is shared out.

    Attributes:
        source: The data set.
        path: For "folder", the folder. For "wrist" the file and for "fashion-mnist" the folder, where they
            are not in their usual place. Empty otherwise.
        partition: "natural" keeps the data's own devices; the others pool all examples and deal them anew.
        devices: How many devices to deal to. "natural" has as many as the data.
        alpha: Concentration for "dirichlet", per class; smaller means fewer classes on each device.
        split: "last-quarter" holds out the source's own test part (for recordings and folders, the last
            quarter in time). "tuning" leaves that part out and holds out the last fifth of the rest: choose
            learning rates on it. "leave-subjects-out" holds out every recording of `held_out_subjects`.
        held_out_subjects: Numbers of the subjects that are never trained on; wrist data only.
        examples: At most this many training examples, all devices together; for quick runs.
    """

    source: Literal["wrist", "fashion-mnist", "digits", "folder"]
    path: str = ""
    partition: Literal["natural", "iid", "dirichlet", "time"] = "natural"
    devices: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = DEVICES
    alpha: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 0.5
    split: Literal["last-quarter", "tuning", "leave-subjects-out"] = "last-quarter"
    held_out_subjects: tuple[Annotated[int, msgspec.Meta(ge=1, le=SUBJECTS)], ...] = ()
    examples: Annotated[int, msgspec.Meta(ge=1)] | None = None


def check(settings: DataSettings) -> None:
    """Refuse values that are right alone and wrong together.

    Raises:
        InputError: Names the key, what is wrong with it and which values fit.
    """
    _check_path(settings)
    _check_partition(settings)
    _check_subjects(settings)


def _check_path(settings: DataSettings) -> None:
    if settings.source == "folder" and not settings.path:
        raise InputError("data.path: empty", hint="name the folder that holds one .npz file per device")
    if settings.source == "digits" and settings.path:
        raise InputError("data.path: digits come with scikit-learn", hint="leave data.path out")


def _check_partition(settings: DataSettings) -> None:
    if settings.partition == "natural" and settings.source in {"fashion-mnist", "digits"}:
        raise InputError(
            f'data.partition: "natural" keeps real devices, and {settings.source} has none',
            hint="choose one of: iid, dirichlet, time",
        )


def _check_subjects(settings: DataSettings) -> None:
    leaves_out = settings.split == "leave-subjects-out"
    if leaves_out and settings.source != "wrist":
        raise InputError(
            f'data.split: "leave-subjects-out" needs subjects, and {settings.source} has none',
            hint="choose one of: last-quarter, tuning",
        )
    if not leaves_out and settings.held_out_subjects:
        raise InputError(
            f'data.held_out_subjects: not used by the split "{settings.split}"',
            hint='set data.split to "leave-subjects-out", or leave data.held_out_subjects out',
        )
    if leaves_out and len(set(settings.held_out_subjects)) not in range(1, SUBJECTS):
        raise InputError(
            f"data.held_out_subjects: {len(set(settings.held_out_subjects))} subjects held out of {SUBJECTS}",
            hint=f"hold out between 1 and {SUBJECTS - 1}, such as [1, 2]",
        )
