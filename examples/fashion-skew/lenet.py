"""The small convolutional network of the federated benchmarks, for Fashion-MNIST: 44,426 parameters.

Two 5x5 convolutions with 6 and 16 channels, each with ReLU and 2x2 max pooling, then linear layers of 120, 84
and 10: the CNN of Li et al., "Federated learning on non-IID data silos: an experimental study",
arXiv:2102.02079, after LeNet-5 (LeCun et al., 1998, doi:10.1109/5.726791). No normalisation.
"""
# ruff: noqa: INP001 - read by its path, as [model] file

from covey_models.layers import classifier, conv, dense
from covey_models.model import Model
from covey_models.zoo.images import LABELS
from torch import nn


def build() -> nn.Module:
    """Logits of ten classes from 28x28 grey levels."""
    return nn.Sequential(
        conv(1, 6, (5, 5), padding=(0, 0)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        conv(6, 16, (5, 5), padding=(0, 0)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        dense(16 * 4 * 4, 120),
        nn.ReLU(),
        dense(120, 84),
        nn.ReLU(),
        classifier(84, len(LABELS)),
    )


MODEL = Model(
    name="lenet",
    summary="Which article of clothing is shown, from 28x28 grey levels",
    input_shape=(1, 28, 28),
    input_units="grey level 0..1",
    input_bound=1.0,
    labels=LABELS,
    build=build,
    licence="MIT",
    source="LeCun et al., 1998, doi:10.1109/5.726791; as in Li et al., arXiv:2102.02079",
)
