"""What a process that tries a new model says of it, as one line of JSON."""

import sys
from typing import Literal

import msgspec

from covey.package.contents import Variant


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One answer.

    Attributes:
        kind: "passed"; "rejected": the model is bad; "spoiled": the slot is not what it should be, or cannot
            be read, which is no fault of the model; "trouble": it could not be tried now.
        why: In plain words.
        variant: The model to run, of one that passed.
        figures: What was measured, by name: microseconds, mebibytes, counts.
    """

    kind: Literal["passed", "rejected", "spoiled", "trouble"]
    why: str
    variant: Variant | None = None
    figures: dict[str, float] = {}


def say(verdict: Verdict) -> None:
    """To whoever asked, on standard output."""
    sys.stdout.buffer.write(msgspec.json.encode(verdict) + b"\n")
    sys.stdout.buffer.flush()
