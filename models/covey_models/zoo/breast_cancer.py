"""Breast cancer from thirty measurements of cell nuclei: a small tabular task. Not for diagnosis."""

from torch import nn

from covey_models.layers import classifier, dense
from covey_models.model import Model

LABELS = ("malignant", "benign")
MEASUREMENTS = 30


def build() -> nn.Module:
    """30-16-2 with a ReLU, 530 parameters."""
    return nn.Sequential(dense(MEASUREMENTS, 16), nn.ReLU(), classifier(16, len(LABELS)))


MODEL = Model(
    name="breast-cancer",
    summary="Whether a sample is malignant, from thirty measurements of its cell nuclei; not for diagnosis",
    input_shape=(MEASUREMENTS,),
    input_units="measurement between the least (-1) and the greatest (1) of the published table",
    input_bound=1.0,
    labels=LABELS,
    build=build,
    licence="CC-BY-4.0",
    source="One hidden layer; data: Breast Cancer Wisconsin (Diagnostic), doi:10.24432/C5DW2B",
)
