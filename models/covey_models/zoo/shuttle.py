"""Anomalies among nine readings of a space shuttle's radiators."""

from torch import nn

from covey_models.layers import classifier, dense
from covey_models.model import Model

LABELS = ("normal", "anomaly")
READINGS = 9


def build() -> nn.Module:
    """9-32-16-2 with ReLUs, 882 parameters."""
    return nn.Sequential(
        dense(READINGS, 32), nn.ReLU(), dense(32, 16), nn.ReLU(), classifier(16, len(LABELS))
    )


MODEL = Model(
    name="shuttle",
    summary="Whether nine sensor readings of a space shuttle are an anomaly",
    input_shape=(READINGS,),
    input_units="sign(x) log(1 + |x|) of a reading x in the sensors' own units",
    input_bound=16.0,
    labels=LABELS,
    build=build,
    licence="CC-BY-4.0",
    source="Two hidden layers; data: Statlog (Shuttle), doi:10.24432/C5WS31",
)
