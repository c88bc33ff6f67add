import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from covey.errors import InputError
from covey_models import observing, ranges
from covey_models.observing import count, everything, extremes, observe, probes, public_scales
from covey_models.registry import find, names

SHAPE = (1, 8, 8)


def network(name: str = "digits") -> nn.Module:
    torch.manual_seed(7)
    return find(name).build()


class InPlace(nn.Module):
    """Writes into what it was given, after it was watched; its weight is as long as a batch may be."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        doubled = x * 2
        shifted = doubled.sub_(1)
        largest, _ = shifted.max(1)
        return largest.unsqueeze(1) + shifted @ self.weight.t()


@pytest.mark.parametrize("name", names())
def test_every_point_of_the_zoo_is_the_same_one_for_one_input_and_for_many(name: str) -> None:
    net, shape = network(name), find(name).input_shape
    x = probes(shape, 0)[:5]
    alone, together = everything(net, x[:1]), everything(net, x)
    assert count(net, shape) == len(alone) == len(together)
    for one, five in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, five[:1], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(together[0], x)
    with torch.no_grad():
        np.testing.assert_array_equal(together[-1], net(torch.from_numpy(x)).numpy())


def test_points_come_as_asked_and_the_network_stays_as_it_was() -> None:
    net = network().train()
    x = probes(SHAPE, 0)[:3]
    convolved, given = observe(net, x, (1, 0))
    assert (convolved.shape, given.shape) == ((3, 8, 8, 8), (3, *SHAPE))
    assert net.training
    assert all(weight.grad is None for weight in net.parameters())


def test_values_are_those_of_their_moment() -> None:
    x = np.array([[1.0, 2.0], [3.0, 5.0], [0.0, 0.0]], np.float32)
    doubled, shifted, largest = observe(InPlace(), x, (1, 2, 3))
    np.testing.assert_array_equal(doubled, x * 2)
    np.testing.assert_array_equal(shifted, x * 2 - 1)
    np.testing.assert_array_equal(largest, [3, 9, -1])


def test_points_do_not_shift_when_a_batch_is_as_long_as_a_weight() -> None:
    x = np.ones((4, 2), np.float32)
    assert len({len(everything(InPlace(), x[:n])) for n in (1, 2, 3, 4)}) == 1
    weights = next(point for point, each in enumerate(everything(InPlace(), x[:1])) if each.shape == (2, 3))
    with pytest.raises(InputError, match="not one per example"):
        observe(InPlace(), x, (weights,))


def test_a_point_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="no point 7"):
        observe(network(), probes(SHAPE, 0)[:1], (0, 7))


def test_extremes_are_those_of_all_values_and_count_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "BATCH", 4)
    x = probes(SHAPE, 1)[:10]
    values, ends = observe(network(), x, (0, 1, 6)), extremes(network(), x, (0, 1, 6))
    for all_of_them, two in zip(values, ends, strict=True):
        flat = all_of_them.reshape(10, -1)
        np.testing.assert_allclose(two, np.stack((flat.max(1), flat.min(1)), 1), rtol=1e-5)
    scales = public_scales(network(), SHAPE, (0, 1, 6), 0)
    np.testing.assert_array_equal(ranges.rows(values, scales), ranges.rows(ends, scales))
    assert [each.shape for each in extremes(network(), x[:0], (0, 1))] == [(0, 2), (0, 2)]


def test_public_scales_are_powers_of_two_that_hold_the_probes() -> None:
    points = tuple(range(count(network(), SHAPE)))
    scales = public_scales(network(), SHAPE, points, 0)
    most = [np.abs(each).max() for each in observe(network(), probes(SHAPE, 0), points)]
    assert all(scale / 2 < value <= scale for scale, value in zip(scales, most, strict=True))
    assert all(np.log2(scale).is_integer() for scale in scales)
    assert scales == public_scales(network(), SHAPE, points, 0)


def test_a_diverged_network_has_no_scales() -> None:
    net = network()
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        public_scales(net, SHAPE, (1,), 0)


def test_a_device_needs_no_onnx() -> None:
    code = (
        "import sys, covey_models.observing, covey_models.ranges\n"
        "sys.exit(any(name.startswith('onnx') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
