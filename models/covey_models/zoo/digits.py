"""Handwritten digits of 8x8 pixels: small enough for tests that train."""

from torch import nn

from covey_models.layers import classifier, conv
from covey_models.model import Model


def build() -> nn.Module:
    """Two convolutions and a linear layer, 3,818 parameters."""
    return nn.Sequential(
        conv(1, 8, (3, 3)),
        nn.ReLU(),
        conv(8, 16, (3, 3), (2, 2)),
        nn.ReLU(),
        nn.Flatten(),
        classifier(16 * 4 * 4, 10),
    )


MODEL = Model(
    name="digits",
    summary="Which digit was written, from 8x8 grey levels",
    input_shape=(1, 8, 8),
    input_units="grey level 0..1",
    input_bound=1.0,
    labels=tuple("0123456789"),
    build=build,
    licence="CC-BY-4.0",
    source="LeNet-like (LeCun et al., 1998, doi:10.1109/5.726791); data: Alpaydin and Kaynak, "
    "doi:10.24432/C50P49",
)
