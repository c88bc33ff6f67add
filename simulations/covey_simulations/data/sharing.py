"""From examples to devices, as the `[data]` table says."""

import numpy as np

from covey.errors import InputError
from covey_simulations.data.dealing import deal, pooled, thin
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.resampled import Drawing, resampled
from covey_simulations.data.settings import DEVICES, DataSettings


def share_out(data: FederatedData, settings: DataSettings, rng: np.random.Generator) -> FederatedData:
    """Keep a data set's devices, deal its examples anew, or generate devices that draw from it.

    Args:
        data: As its source gave it.
        settings: The `[data]` table, checked.
        rng: Decides which examples are kept and where they go.

    Raises:
        InputError: There are too few examples, or other devices than were asked for.
    """
    if settings.generated:
        seed = int(rng.integers(2**63))
        return resampled(data, Drawing(settings.devices, settings.examples_per_device, settings.alpha, seed))
    if settings.partition == "natural":
        return thin(_counted(data, settings.devices), settings.examples, rng)
    return deal(thin(pooled(data), settings.examples, rng), settings, rng)


def _counted(data: FederatedData, asked: int) -> FederatedData:
    """Refuse a number of devices that "natural" would silently ignore; the default asks for none."""
    if asked not in {DEVICES, len(data.devices)}:
        raise InputError(
            f"data.devices: {asked}, but {data.name} has {len(data.devices)} devices of its own",
            hint="leave data.devices out, or choose data.partition iid, dirichlet, time or resampled",
        )
    return data
