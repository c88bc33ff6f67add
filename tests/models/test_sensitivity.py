from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from covey_models.export import to_onnx
from covey_models.observing import probes
from covey_models.quantise import to_int8_with
from covey_models.quantise_graph import Range, asked, heavy, prepared, seen
from covey_models.sensitivity import sensitivity

SHAPE = (1, 8, 8)


@cache
def exported() -> bytes:
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5)
    )
    return to_onnx(network, SHAPE)


def delicate() -> tuple[bytes, dict[str, Range]]:
    """A network, and ranges of which that of its logits is much too wide."""
    fp32 = exported()
    model = prepared(fp32)
    ranges = seen(model, probes(SHAPE, 0), asked(model))
    last = heavy(model)[-1]
    ranges[last.output[0]] = (-20.0, 20.0)
    return fp32, ranges


def test_the_layer_that_loses_most_is_told() -> None:
    fp32, ranges = delicate()
    found = sensitivity(fp32, ranges, SHAPE)
    assert [layer.kind for layer in found.layers] == ["Conv", "Conv", "Gemm"]
    assert [layer.weight for layer in found.layers] == [(4, 1, 3, 3), (16, 4, 3, 3), (5, 256)]
    assert found.worst.kind == "Gemm"
    assert found.worst.probes.error > 10 * found.layers[0].probes.error > 0
    assert found.worst.probes.changed > 0.3
    assert found.together.error >= found.worst.probes.error / 2
    assert found.bytes_saved == len(fp32) - len(to_int8_with(fp32, ranges))
    assert found.worst.bytes_saved > 0.5 * 5 * 256 * 3
    assert all(layer.quantised for layer in found.layers)
    assert found.together_given is None


def test_leaving_the_worst_layer_out_helps() -> None:
    fp32, ranges = delicate()
    worst = sensitivity(fp32, ranges, SHAPE).worst
    del ranges["logits"]
    found = sensitivity(fp32, ranges, SHAPE)
    assert [layer.quantised for layer in found.layers] == [True, True, False]
    assert found.layers[2].probes.error == 0
    assert found.together.error < worst.probes.error / 5


def test_it_is_the_same_each_time_and_looks_at_the_inputs_given() -> None:
    fp32, ranges = delicate()
    x = (probes(SHAPE, 5)[:20] * 3).astype(np.float32)
    one, other = (sensitivity(fp32, ranges, SHAPE, x, seed=4) for _ in range(2))
    assert one == other
    assert one.together_given is not None
    assert one.together_given != one.together
    assert all(layer.given is not None for layer in one.layers)
    assert sensitivity(fp32, ranges, SHAPE, x[:0]).together_given is None


def test_a_graph_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="no layers to compare"):
        sensitivity(to_onnx(nn.Flatten(), SHAPE), {}, SHAPE)
