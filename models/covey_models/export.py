"""From a trained network to ONNX."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

import torch
from torch import nn

from covey.errors import InputError
from covey_models.canonical import canonical
from covey_models.check import one_line
from covey_models.modes import evaluating

INPUT, OUTPUT = "input", "logits"


def to_onnx(network: nn.Module, input_shape: tuple[int, ...]) -> bytes:
    """The network as an ONNX file; the same weights give the same bytes.

    The batch axis is fixed at 1: graphs of dynamic shape cost more than their arithmetic on a device.

    Args:
        network: Maps float32 (n, *input_shape) to logits (n, classes); left as it is.
        input_shape: Shape of one input without the batch axis.

    Returns:
        A file with the input "input" (1, *input_shape) and the output "logits" (1, classes).

    Raises:
        InputError: The network uses something that ONNX cannot express.
    """
    with evaluating(network), _quiet():
        try:
            program = torch.onnx.export(
                network,
                (torch.zeros(1, *input_shape),),
                dynamo=True,
                optimize=True,
                verbose=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
        except torch.onnx.OnnxExporterError as error:
            raise InputError(f"the network cannot be exported to ONNX: {one_line(error)}") from error
    if program is None:  # what the declared type allows when a file is written instead
        raise InputError("the exporter gave no program")
    return canonical(program.model_proto)


@contextmanager
def _quiet() -> Iterator[None]:
    """Mute what the exporter says about itself and nobody can act on; named, so that news still shows."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)  # "torchvision is not installed": no model here uses it
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            # torch 2.13 copies a class of its own that it has deprecated.
            warnings.filterwarnings("ignore", r".*LeafSpec.* is deprecated", FutureWarning)
            yield
    finally:
        registration.setLevel(level)
