"""Shoulder exercises from a wrist-worn motion sensor.

One block of long kernels does as well here as several of short ones. The convolutions over time are
written as 2-D convolutions of height 1: the same arithmetic, for which both torch and ONNX Runtime have
better kernels.
"""

import torch
from torch import Tensor, nn

from covey_models.layers import classifier, conv, separable
from covey_models.model import Model

LABELS = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")

TURN = 0.1  # rad, deviation of each component of a rotation vector: a strap sits a little differently
STRETCH = 0.1  # deviation of the logarithm of a gain: the same exercise, done with more or less vigour


class Wrist(nn.Module):
    """Two separated convolutions over time; mean and maximum of each feature; linear."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv(6, 24, (1, 13), (1, 2)),
            nn.ReLU(),
            separable(24, 56, (1, 13), (1, 2)),
        )
        self.classify = classifier(2 * 56, len(LABELS))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 7) of windows (n, 6, 100)."""
        features = self.features(x.unsqueeze(2))
        pooled = torch.cat((features.mean((2, 3)), features.amax((2, 3))), 1)
        logits: Tensor = self.classify(pooled)
        return logits


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each window shifted around in time, turned as a strap would, and stretched in amplitude.

    Args:
        x: float32 (n, 6, samples): acceleration in g, then angular rate in rad/s.
        generator: Decides everything.
    """
    return _turns(len(x), generator) @ _shifted(x, generator)


def _shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each window moved around its own circle by a whole number of samples."""
    samples = x.shape[2]
    offsets = torch.randint(0, samples, (len(x), 1), generator=generator)
    index = (torch.arange(samples) + offsets) % samples
    return x.gather(2, index.unsqueeze(1).expand_as(x))


def _turns(count: int, generator: torch.Generator) -> Tensor:
    """(count, 6, 6): one rotation for both triples of axes, times a gain."""
    vector = torch.randn(count, 3, generator=generator) * TURN
    skew = torch.zeros(count, 3, 3)
    skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0] = vector.unbind(1)
    rotation = torch.linalg.matrix_exp(skew - skew.transpose(1, 2))
    gain = torch.exp(torch.randn(count, 1, 1, generator=generator) * STRETCH)
    turns = torch.zeros(count, 6, 6)
    turns[:, :3, :3] = turns[:, 3:, 3:] = rotation * gain
    return turns


MODEL = Model(
    name="wrist-motion",
    summary="Which of seven shoulder exercises is being done, from 2 s of wrist motion",
    input_shape=(6, 100),
    input_units="g (channels 0-2) and rad/s (channels 3-5), at 50 Hz",
    input_bound=32.0,
    labels=LABELS,
    build=Wrist,
    augment=augment,
    licence="BSD-3-Clause",
    source="Depthwise-separable convolutions: Howard et al., arXiv:1704.04861; task: Burns et al., "
    "arXiv:1802.01489",
)
