"""What a simulated federation is made of, before anything is trained."""

from dataclasses import dataclass

from covey.examples import LocalData


@dataclass(frozen=True)
class FederatedData:
    """A data set, device by device, and what a report has to say about it.

    Attributes:
        name: Short name of the source.
        licence: SPDX identifier of the data, or "not stated".
        citation: What to cite; empty when there is nothing.
        labels: One name per class; a label y stands for `labels[y]`.
        input_shape: Shape of one input; axis 0 is the channel axis.
        devices: What each device holds, by device name, in the order of the names. A device whose `train`
            is empty answers a `train` query with weight zero; one whose `held_out` is empty, a `validate`
            query with no counts.
        groups: For each device, whom it belongs to (a subject); its own name when that is unknown.
        synthetic: The examples were generated, not measured: every table has to say so.
        notes: Sentences that belong beside every figure: where the devices come from, what was held out.
    """

    name: str
    licence: str
    citation: str
    labels: tuple[str, ...]
    input_shape: tuple[int, ...]
    devices: dict[str, LocalData]
    groups: dict[str, str]
    synthetic: bool
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.devices.keys() != self.groups.keys():
            raise ValueError("devices and groups name different devices")

    @property
    def training_examples(self) -> int:
        """How many examples the devices train on, all together."""
        return sum(len(local.train) for local in self.devices.values())

    @property
    def training_devices(self) -> int:
        """How many devices have an example to train on."""
        return sum(len(local.train) > 0 for local in self.devices.values())

    @property
    def held_out_examples(self) -> int:
        """How many examples the devices hold out, all together."""
        return sum(len(local.held_out) for local in self.devices.values())
