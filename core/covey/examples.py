"""Labelled examples held by one device, and how inputs are scaled before a model sees them."""

from dataclasses import dataclass
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """Inputs and labels of equal length.

    Attributes:
        x: Inputs in the data's own units, float32, shape (n, *input_shape); n may be 0.
        y: Class indices, int64, shape (n,).
    """

    x: Floats
    y: Labels

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"{len(self.x)} inputs and {len(self.y)} labels")

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: NDArray[np.int64]) -> "Examples":
        """The examples at `index`, in that order."""
        return Examples(self.x[index], self.y[index])

    def first(self, count: int) -> "Examples":
        """At most the first `count` examples."""
        return Examples(self.x[:count], self.y[:count])

    @classmethod
    def join(cls, parts: "list[Examples]") -> Self:
        """All examples of `parts` (not empty), in order."""
        return cls(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))


@dataclass(frozen=True)
class LocalData:
    """What one device holds.

    Attributes:
        train: Trained on. For windows of a recording they must not overlap: an example is a unit of privacy.
        held_out: Never trained on; answers `validate` queries.
    """

    train: Examples
    held_out: Examples


class Standardise(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="standardise"):
    """Per-channel preprocessing: (x - mean) / deviation along axis 0 of one input.

    Attributes:
        mean: One per channel, in the data's units.
        deviation: One per channel, > 0, in the data's units.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def apply(self, x: Floats) -> Floats:
        """Scale a batch: shape (n, channels, ...) in, the same shape out, float32."""
        shape = (1, len(self.mean)) + (1,) * (x.ndim - 2)
        mean = np.asarray(self.mean, np.float32).reshape(shape)
        deviation = np.asarray(self.deviation, np.float32).reshape(shape)
        return (x - mean) / deviation
