"""Fashion-MNIST: articles of clothing in 28x28 pixels."""

from torch import nn

from covey_models.layers import classifier, conv
from covey_models.model import Model

LABELS = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def build() -> nn.Module:
    """Three convolutions and a linear layer, 19,178 parameters."""
    return nn.Sequential(
        conv(1, 16, (3, 3)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        conv(16, 32, (3, 3)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        conv(32, 32, (3, 3), (2, 2)),
        nn.ReLU(),
        nn.Flatten(),
        classifier(32 * 4 * 4, len(LABELS)),
    )


MODEL = Model(
    name="image-cnn",
    summary="Which article of clothing is shown, from 28x28 grey levels",
    input_shape=(1, 28, 28),
    input_units="grey level 0..1",
    input_bound=1.0,
    labels=LABELS,
    build=build,
    licence="MIT",
    source="LeNet-like (LeCun et al., 1998, doi:10.1109/5.726791); data: Xiao et al., Fashion-MNIST, "
    "arXiv:1708.07747",
)
