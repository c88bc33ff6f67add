"""What a simulated federation is made of, before anything is trained."""

from collections.abc import Mapping
from dataclasses import dataclass

from covey.examples import Examples, LocalData
from covey_simulations.data.devices import LazyDevices, Sizes, same_names
from covey_simulations.data.local import together


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
            query with no counts. May be lazy (`covey_simulations.data.devices`): what a device holds is then
            made whenever it is asked for, so ask for a cohort's and keep no list of all.
        groups: For each device, whom it belongs to (a subject); its own name when that is unknown.
        synthetic: The examples were generated, not measured: every table has to say so.
        notes: Sentences that belong beside every figure: where the devices come from, what was held out.
    """

    name: str
    licence: str
    citation: str
    labels: tuple[str, ...]
    input_shape: tuple[int, ...]
    devices: Mapping[str, LocalData]
    groups: Mapping[str, str]
    synthetic: bool
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not same_names(self.devices, self.groups):
            raise ValueError("devices and groups name different devices")

    @property
    def sizes(self) -> Sizes:
        """How many examples each device holds; of lazy devices without making any."""
        return Sizes.of(self.devices)

    @property
    def training_examples(self) -> int:
        """How many examples the devices train on, all together."""
        return int(self.sizes.train.sum())

    @property
    def training_devices(self) -> int:
        """How many devices have an example to train on."""
        return int((self.sizes.train > 0).sum())

    @property
    def held_out_examples(self) -> int:
        """How many examples the devices hold out, all together."""
        return int(self.sizes.held_out.sum())

    def all_train(self) -> Examples:
        """What all devices train on, in one place; of generated devices, what theirs is drawn from."""
        if isinstance(self.devices, LazyDevices):
            return self.devices.all_train()
        return together([local.train for local in self.devices.values()])

    def all_held_out(self) -> Examples:
        """The same of what the devices hold out."""
        if isinstance(self.devices, LazyDevices):
            return self.devices.all_held_out()
        return together([local.held_out for local in self.devices.values()])
