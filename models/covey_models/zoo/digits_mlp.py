"""Handwritten digits of 8x8 pixels by one hidden layer: the usual small network of simulations."""

from torch import nn

from covey_models.layers import classifier, dense
from covey_models.model import Model


def build() -> nn.Module:
    """64-64-10 with a ReLU, 4,810 parameters."""
    return nn.Sequential(nn.Flatten(), dense(64, 64), nn.ReLU(), classifier(64, 10))


MODEL = Model(
    name="digits-mlp",
    summary="Which digit was written, from 8x8 grey levels, by one hidden layer",
    input_shape=(1, 8, 8),
    input_units="grey level 0..1",
    input_bound=1.0,
    labels=tuple("0123456789"),
    build=build,
    licence="CC-BY-4.0",
    source="One hidden layer; data: Alpaydin and Kaynak, doi:10.24432/C50P49",
)
