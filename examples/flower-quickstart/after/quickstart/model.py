"""What others need to know of the network: the server, each device, and who reviews the policy."""

from covey_models.model import Model

from quickstart.task import Net

MODEL = Model(
    name="quickstart",
    summary="Which digit, from an image of 8 by 8",
    input_shape=(1, 8, 8),
    input_units="grey level 0..1",
    input_bound=1.0,
    labels=tuple("0123456789"),
    build=Net,
    licence="Apache-2.0",
    source="two layers",
)
