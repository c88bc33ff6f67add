import numpy as np

from covey.examples import Standardise
from covey_models.registry import find
from covey_models.training import initial
from covey_simulations.data import digits
from covey_simulations.data.resampled import Drawing, resampled
from covey_simulations.evaluation import by_device, looked_at

MODEL = find("digits")
AS_IT_IS = Standardise((0.0,), (1.0,))


def test_every_device_of_a_small_fleet_is_looked_at() -> None:
    data = resampled(digits.load(), Drawing(devices=30, examples=(5, 9), alpha=1.0, seed=1))
    found = by_device(data, MODEL, initial(MODEL, 0), AS_IT_IS)
    assert [each.name for each in found] == list(data.devices)
    assert [each.train_examples for each in found] == data.sizes.train.tolist()
    assert all(each.accuracy is not None and 0 <= each.accuracy <= 1 for each in found)


def test_of_a_large_fleet_some_are_evenly_spaced() -> None:
    data = resampled(digits.load(), Drawing(devices=25_000, examples=(5, 9), alpha=1.0, seed=1))
    places = np.array([int(name.removeprefix("device-")) for name in looked_at(data)])
    assert len(places) == 1000
    assert set(np.diff(places)) == {25}
