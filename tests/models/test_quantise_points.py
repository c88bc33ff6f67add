import numpy as np
import pytest
import torch

from covey_models.export import to_onnx
from covey_models.observing import observe, probes
from covey_models.quantise import left_float, to_int8_with
from covey_models.quantise_graph import asked, prepared, values
from covey_models.quantise_points import points_of, without_point
from covey_models.registry import find, names
from covey_models.runtime import predictor


@pytest.mark.parametrize("name", names())
def test_every_quantised_tensor_of_the_zoo_is_found_in_the_network(name: str) -> None:
    torch.manual_seed(3)
    network, shape = find(name).build(), find(name).input_shape
    fp32 = to_onnx(network, shape)
    points = points_of(network, fp32, shape)
    assert without_point(fp32, points) == ()
    assert tuple(point.tensor for point in points) == asked(prepared(fp32))
    x = probes(shape, 99)[:4]
    graph = values(prepared(fp32), x, [point.tensor for point in points])
    for point, found in zip(points, observe(network, x, [each.index for each in points]), strict=True):
        expected = graph[point.tensor]
        np.testing.assert_allclose(found.ravel(), expected.ravel(), atol=1e-3 * np.abs(expected).max())


def test_another_networks_tensors_are_not_found_and_their_layers_stay_float() -> None:
    """What a graph holds and a network does not show is said, and int8 leaves it out."""
    torch.manual_seed(3)
    one, other = find("digits").build(), find("digits").build()
    fp32 = to_onnx(one, (1, 8, 8))
    points = points_of(other, fp32, (1, 8, 8))
    assert [point.tensor for point in points] == ["input"]
    assert set(without_point(fp32, points)) == set(asked(prepared(fp32))) - {"input"}
    x = probes((1, 8, 8), 0)[:8]
    assert left_float(fp32, ["input"])
    np.testing.assert_allclose(
        predictor(to_int8_with(fp32, {"input": (-4.0, 4.0)}))(x), predictor(fp32)(x), rtol=1e-4, atol=1e-4
    )
