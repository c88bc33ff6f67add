"""What a model is, apart from how it is trained."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Model:
    """A network and what a reader, a device and a package need to know about it.

    Attributes:
        name: Short name, unique in the registry: lower-case letters, digits, hyphens.
        summary: One line: what it decides, from what.
        input_shape: Shape of one input without the batch axis; axis 0 is the channel axis.
        input_units: What one input number is, for the model card ("g and rad/s", "grey level 0..1").
        input_bound: Public bound B: inputs are taken to lie in [-B, B] per number; values beyond are
            clamped in statistics queries. A property of the sensor, never computed from data.
        labels: One name per class, in the order of the network's outputs.
        build: Makes the network with freshly initialised parameters (uses torch's generator: seed it).
            The network maps float32 (n, *input_shape) to logits (n, classes), has no buffers (no batch
            normalisation: its statistics would leave a device beside the sum).
        licence: SPDX identifier of the weights trained from it.
        source: Where the architecture comes from (paper, benchmark), for the model card.
        augment: Changes a training batch (n, *input_shape) in the data's own units, before scaling, using
            only the generator given; each output may depend on its own input alone. None: no augmentation.
    """

    name: str
    summary: str
    input_shape: tuple[int, ...]
    input_units: str
    input_bound: float
    labels: tuple[str, ...]
    build: Callable[[], nn.Module]
    licence: str
    source: str
    augment: Augment | None = None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.labels)
