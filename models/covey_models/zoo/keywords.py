"""Spoken keywords: the DS-CNN of MLPerf Tiny, without batch normalisation.

Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", arXiv:1711.07128 (DS-CNN, small), in the
form of MLPerf Tiny (Banbury et al., arXiv:2106.07597). Changed here: no batch normalisation (its running
statistics would leave a device beside the sum) and He initialisation in its place; no ReLU between
depthwise and pointwise; no dropout; the first convolution pads 5 rows on both sides, where "same" padding
puts 4 above and 5 below. Figures of this network are therefore not MLPerf Tiny results.
"""

from torch import nn

from covey_models.layers import classifier, conv, separable
from covey_models.model import Model

LABELS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence", "unknown")
WIDTH = 64


def build() -> nn.Module:
    """One convolution, four separable blocks on a 25x5 map, mean, linear: 22,604 parameters."""
    return nn.Sequential(
        conv(1, WIDTH, (10, 4), (2, 2), padding=(5, 1)),
        nn.ReLU(),
        *(separable(WIDTH, WIDTH, (3, 3)) for _ in range(4)),
        nn.AvgPool2d((25, 5)),
        nn.Flatten(),
        classifier(WIDTH, len(LABELS)),
    )


MODEL = Model(
    name="keywords",
    summary="Which of ten words was spoken, or silence, or another word, from 1 s of sound",
    input_shape=(1, 49, 10),
    input_units="mel-frequency cepstral coefficient: 49 frames of 10",
    input_bound=256.0,
    labels=LABELS,
    build=build,
    licence="Apache-2.0",
    source="DS-CNN: Zhang et al., arXiv:1711.07128, as in MLPerf Tiny, arXiv:2106.07597, without batch "
    "normalisation",
)
