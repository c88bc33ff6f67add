import os
import subprocess
import sys
from hashlib import sha256

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from covey.errors import InputError
from covey_models.evaluation import network_predictor
from covey_models.export import to_onnx
from covey_models.registry import find, names
from covey_models.runtime import predictor

ELSEWHERE = """
import hashlib, torch
from covey_models.export import to_onnx
from covey_models.registry import find
torch.manual_seed(7)
print(hashlib.sha256(to_onnx(find("digits").build(), (1, 8, 8))).hexdigest())
"""


def seeded(name: str) -> nn.Module:
    torch.manual_seed(7)
    return find(name).build()


@pytest.mark.parametrize("name", names())
def test_outputs_are_torchs_and_bytes_tell_nothing_else(name: str) -> None:
    model, network = find(name), seeded(name)
    exported = to_onnx(network, model.input_shape)
    x = np.random.default_rng(0).normal(size=(5, *model.input_shape)).astype(np.float32)
    np.testing.assert_allclose(predictor(exported)(x), network_predictor(network)(x), atol=1e-5, rtol=0)
    assert not [
        word
        for word in (b"covey", b".py", b"torch", b"namespace", os.sep.encode() + b"models")
        if word in exported
    ]
    onnx.checker.check_model(exported, full_check=True)


def test_the_interface_is_fixed() -> None:
    graph = onnx.load_from_string(to_onnx(seeded("digits"), (1, 8, 8))).graph
    shapes = {
        each.name: [dimension.dim_value for dimension in each.type.tensor_type.shape.dim]
        for each in (*graph.input, *graph.output)
    }
    assert shapes == {"input": [1, 1, 8, 8], "logits": [1, 10]}
    assert [node.name for node in graph.node] == [f"n{index}" for index in range(len(graph.node))]
    assert not graph.value_info


def test_the_same_weights_give_the_same_bytes() -> None:
    network = seeded("digits")
    first = to_onnx(network, (1, 8, 8))
    assert to_onnx(network, (1, 8, 8)) == first
    with torch.no_grad():
        next(network.parameters()).add_(1e-3)
    assert to_onnx(network, (1, 8, 8)) != first


def test_another_process_gives_the_same_bytes() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "5"}
    elsewhere = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], env=environment, capture_output=True, text=True, check=True
    )
    assert elsewhere.stdout.strip() == sha256(to_onnx(seeded("digits"), (1, 8, 8))).hexdigest()
    assert not elsewhere.stderr


def test_the_networks_mode_and_the_screen_are_left_alone(capfd: pytest.CaptureFixture[str]) -> None:
    network = seeded("digits").train()
    to_onnx(network, (1, 8, 8))
    assert network.training
    assert capfd.readouterr() == ("", "")


class Branching(nn.Module):
    """Decides by the data, which a graph without branches cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(x) if bool(x.sum() > 0) else -self.linear(x)
        return result


def test_what_cannot_be_exported_is_said_in_one_line() -> None:
    with pytest.raises(InputError, match="cannot be exported") as caught:
        to_onnx(Branching(), (4,))
    assert "\n" not in str(caught.value)
