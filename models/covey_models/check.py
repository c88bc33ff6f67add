"""What every model must satisfy before a device trains it."""

import re

import torch
from torch import Tensor, nn

from covey.errors import InputError
from covey_models.model import Model
from covey_models.modes import evaluating

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def check(model: Model) -> None:
    """Build the network and try it on a small batch.

    Raises:
        InputError: The first thing found that a federation cannot work with.
    """
    _check_description(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _built(model)
        batch = torch.cat((torch.zeros(1, *model.input_shape), torch.randn(2, *model.input_shape)))
    _check_state(model, network)
    _check_outputs(model, network, batch)


def _check_description(model: Model) -> None:
    if not NAME.fullmatch(model.name):
        raise _refused(model, "its name is not made of lower-case letters, digits and hyphens")
    if model.classes < 2 or len(set(model.labels)) != model.classes:  # noqa: PLR2004 - a decision has two sides
        raise _refused(model, "it needs at least two labels, all different")
    if not model.input_bound > 0:
        raise _refused(model, "its input_bound must be above 0")


def _built(model: Model) -> nn.Module:
    try:
        network = model.build()
    except Exception as error:
        raise _refused(model, f"build() failed: {one_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise _refused(model, f"build() gave {type(network).__name__}, not a torch.nn.Module")
    return network


def _check_state(model: Model, network: nn.Module) -> None:
    buffers = [name for name, _ in network.named_buffers()]
    if buffers:
        raise _refused(
            model,
            f"it has buffers ({', '.join(buffers[:3])})",
            hint="buffers would leave a device beside the sum: leave batch normalisation out",
        )
    if not any(True for _ in network.parameters()):
        raise _refused(model, "it has no parameters")
    for name, value in network.named_parameters():
        if value.dtype != torch.float32:
            raise _refused(model, f"parameter {name} is {value.dtype}, not float32")


def _check_outputs(model: Model, network: nn.Module, batch: Tensor) -> None:
    """Shapes, finiteness, and that an output depends on its own input alone.

    The last is what per-example privacy rests on; normalisation over the batch breaks it without a buffer.
    """
    together = _outputs(model, network, batch)
    if tuple(together.shape) != (len(batch), model.classes):
        raise _refused(
            model, f"it gives {tuple(together.shape)} for a batch of {len(batch)}, not (n, {model.classes})"
        )
    if not bool(torch.isfinite(together).all()):
        raise _refused(model, "its outputs are not finite")
    alone = torch.cat([_outputs(model, network, one) for one in torch.tensor_split(batch, len(batch))])
    if not torch.allclose(together, alone, rtol=1e-3, atol=1e-4):
        raise _refused(model, "an output depends on the other inputs of its batch")


def _outputs(model: Model, network: nn.Module, batch: Tensor) -> Tensor:
    try:
        with evaluating(network):
            outputs = network(batch)
    except Exception as error:
        raise _refused(model, f"it failed on shape {tuple(batch.shape)}: {one_line(error)}") from error
    if not isinstance(outputs, Tensor):
        raise _refused(model, f"it gives {type(outputs).__name__}, not a tensor")
    return outputs


def _refused(model: Model, why: str, *, hint: str = "") -> InputError:
    return InputError(f"model {model.name!r}: {why}", hint=hint)


def one_line(error: BaseException) -> str:
    """An exception's type and the first line of its message."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
