"""The `[data]` table of a federation file, and which of its values fit together."""

from typing import Annotated, Final, Literal

import msgspec

from covey.errors import InputError

SUBJECTS: Final = {"wrist": 10, "synthetic-keywords": 60}
"""By source, how many people or voices it has, numbered from 1."""

DEVICES: Final = 20
"""Devices when none are asked for: as many as the wrist data has."""

EXAMPLES_PER_DEVICE: Final = (20, 50)
"""On a generated device, when nothing else is asked for."""

POOLED: Final = frozenset({"fashion-mnist", "digits", "breast-cancer", "shuttle"})
"""Sources without devices of their own."""

PerDevice = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class DataSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which data a federation trains on and how it is shared out.

    Attributes:
        source: The data set. "synthetic-digits" is "digits", resampled.
        file: For "python", a file that defines `load(settings) -> FederatedData`; it is run.
        path: For "folder", the folder. For "wrist" and "shuttle" the file and for "fashion-mnist" the folder,
            where they are not in their usual place. For "synthetic-keywords", the folder that keeps what was
            made. "python" does with it what it likes. Empty otherwise.
        partition: "natural" keeps the data's own devices. "iid", "dirichlet", "dirichlet-classes" and "time"
            pool all examples and deal them anew, each to one device. "dirichlet" skews the classes of devices
            of one size; "dirichlet-classes" splits class by class, and sizes differ. "resampled" generates
            devices that draw from the pool with replacement when they are asked, however many: synthetic.
        devices: How many devices to deal to or to generate. "natural" has as many as the data.
        alpha: Concentration for "dirichlet" and "resampled", per class, and for "dirichlet-classes", per
            device; smaller means fewer classes on each device.
        examples_per_device: For "resampled", the fewest and the most training examples on a device.
        split: "last-quarter" holds out the source's own test part (for recordings and folders, the last
            quarter in time). "tuning" leaves that part out and holds out the last fifth of the rest: choose
            learning rates on it. "leave-subjects-out" holds out all of `held_out_subjects`.
        held_out_subjects: Numbers of the people or voices that are never trained on; "wrist" and
            "synthetic-keywords" only.
        examples: At most this many training examples, all devices together; for quick runs.
    """

    source: Literal[
        "wrist",
        "fashion-mnist",
        "digits",
        "synthetic-digits",
        "synthetic-keywords",
        "breast-cancer",
        "shuttle",
        "folder",
        "python",
    ]
    file: str = ""
    path: str = ""
    partition: Literal["natural", "iid", "dirichlet", "dirichlet-classes", "time", "resampled"] = "natural"
    devices: Annotated[int, msgspec.Meta(ge=2, le=10_000_000)] = DEVICES
    alpha: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 0.5
    examples_per_device: tuple[PerDevice, PerDevice] = EXAMPLES_PER_DEVICE
    split: Literal["last-quarter", "tuning", "leave-subjects-out"] = "last-quarter"
    held_out_subjects: tuple[Annotated[int, msgspec.Meta(ge=1, le=max(SUBJECTS.values()))], ...] = ()
    examples: Annotated[int, msgspec.Meta(ge=1)] | None = None

    @property
    def generated(self) -> bool:
        """Whether devices draw their examples when they are asked, with replacement."""
        return self.partition == "resampled" or self.source == "synthetic-digits"


def check(settings: DataSettings) -> None:
    """Refuse values that are right alone and wrong together.

    Raises:
        InputError: Names the key, what is wrong with it and which values fit.
    """
    _check_path(settings)
    _check_partition(settings)
    _check_generated(settings)
    _check_subjects(settings)


def _check_path(settings: DataSettings) -> None:
    if (settings.source == "python") != bool(settings.file):
        raise InputError(
            f'data.file: {settings.file or "empty"}, and data.source is "{settings.source}"',
            hint='a file that defines load(settings) goes with data.source = "python", and only with it',
        )
    if settings.source == "folder" and not settings.path:
        raise InputError("data.path: empty", hint="name the folder that holds one .npz file per device")
    if settings.source in {"digits", "synthetic-digits", "breast-cancer"} and settings.path:
        raise InputError(f"data.path: {settings.source} comes with scikit-learn", hint="leave data.path out")


def _check_partition(settings: DataSettings) -> None:
    if settings.partition == "natural" and settings.source in POOLED:
        raise InputError(
            f'data.partition: "natural" keeps real devices, and {settings.source} has none',
            hint="choose one of: iid, dirichlet, time, resampled, dirichlet-classes",
        )
    if settings.source == "synthetic-digits" and settings.partition not in {"natural", "resampled"}:
        raise InputError(
            f'data.partition: "{settings.partition}" deals examples; {settings.source} generates them',
            hint='leave data.partition out, or set data.source to "digits"',
        )


def _check_generated(settings: DataSettings) -> None:
    least, most = settings.examples_per_device
    if least > most:
        raise InputError(
            f"data.examples_per_device: from {least} to {most}", hint="write the smaller number first"
        )
    if settings.generated and settings.examples is not None:
        raise InputError(
            "data.examples: generated devices draw as many as data.examples_per_device says",
            hint="leave data.examples out",
        )
    if not settings.generated and settings.examples_per_device != EXAMPLES_PER_DEVICE:
        raise InputError(
            f'data.examples_per_device: not used by the partition "{settings.partition}"',
            hint='set data.partition to "resampled", or leave data.examples_per_device out',
        )


def _check_subjects(settings: DataSettings) -> None:
    leaves_out, numbers = settings.split == "leave-subjects-out", settings.held_out_subjects
    if not leaves_out and numbers:
        raise InputError(
            f'data.held_out_subjects: not used by the split "{settings.split}"',
            hint='set data.split to "leave-subjects-out", or leave data.held_out_subjects out',
        )
    if not leaves_out:
        return
    if settings.source not in SUBJECTS:
        raise InputError(
            f'data.split: "leave-subjects-out" needs subjects, and {settings.source} has none',
            hint="choose one of: last-quarter, tuning",
        )
    count = SUBJECTS[settings.source]
    if len(set(numbers)) not in range(1, count) or max(numbers) > count:
        raise InputError(
            f"data.held_out_subjects: {len(set(numbers))} subjects held out of {count}, numbered from 1",
            hint=f"hold out between 1 and {count - 1}, such as [1, 2]",
        )
