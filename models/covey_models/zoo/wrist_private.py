"""Shoulder exercises from a wrist-worn motion sensor, for training under strong noise.

What limits a private model is how much of a gradient is signal. Features that are fixed beforehand cost no
privacy (Tramèr and Boneh, arXiv:2011.11660), and one linear layer above them trains in a few dozen rounds.
"""

from math import pi
from statistics import NormalDist

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from covey.stream import KEY_BYTES, Stream
from covey_models.layers import classifier
from covey_models.model import Model
from covey_models.zoo.wrist import LABELS

FEATURES = 256
SPREAD = (3.0, 3.0, 3.0, 0.65, 0.65, 0.65)  # deviation of a frequency: rad per g, then rad per rad/s


class WristPrivate(nn.Module):
    """Random Fourier features of each sample, averaged over time; linear.

    A feature of a sample x is cos(w·x + b), with random w and b (Rahimi and Recht, NIPS 2007). Its mean over
    time is the real part of e^(ib) times the empirical characteristic function of the window's samples at w:
    the features stand for the distribution of what the wrist did (a kernel mean embedding: Muandet et al.,
    arXiv:1605.09522), without the order. Frequencies and phases are constants, not parameters. Inputs come
    unscaled, as their units decide how wide the frequencies spread. Turned or stretched copies of a window
    did not help: what limits the model is the noise.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frequencies, self.phases = constants()
        self.classify = classifier(FEATURES, len(LABELS))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 7) of windows (n, 6, 100)."""
        angles = conv2d(x.unsqueeze(2), self.frequencies, self.phases)
        logits: Tensor = self.classify(torch.cos(angles).mean((2, 3)))
        return logits


def constants() -> tuple[Tensor, Tensor]:
    """Frequencies (256, 6, 1, 1), normal, and phases (256,), uniform: the same on every machine.

    They are read from a keystream, since no library promises its random numbers from version to version.
    """
    words = Stream(bytes(KEY_BYTES)).words64(7 * FEATURES).tolist()
    uniform = [(word + 0.5) / 2**64 for word in words]
    normal = [NormalDist().inv_cdf(each) for each in uniform[FEATURES:]]
    frequencies = torch.tensor(normal).reshape(FEATURES, 6, 1, 1) * torch.tensor(SPREAD).reshape(6, 1, 1)
    return frequencies, torch.tensor(uniform[:FEATURES]) * 2 * pi


MODEL = Model(
    name="wrist-private",
    summary="Which of seven shoulder exercises is being done, from 2 s of wrist motion; made for noise",
    input_shape=(6, 100),
    input_units="g (channels 0-2) and rad/s (channels 3-5), at 50 Hz",
    input_bound=32.0,
    labels=LABELS,
    build=WristPrivate,
    licence="BSD-3-Clause",
    source="Random Fourier features: Rahimi and Recht, NIPS 2007; fixed features for private learning: "
    "Tramèr and Boneh, arXiv:2011.11660; task: Burns et al., arXiv:1802.01489",
)
