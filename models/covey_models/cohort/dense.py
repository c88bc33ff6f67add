"""Chains of linear layers and ReLUs, by hand: batched matrix products, with the step inside the product.

What autograd would do in some thirty small operations a layer is done in five. Where a step is plain SGD, the
gradient of a weight is never stored: the product that gives it is added into the weight (`baddbmm_`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from covey_models.cohort.step import Optimiser, Stacked
from covey_models.cohort.steps import Batch, Cohort


@dataclass(frozen=True)
class _Linear:
    weight: str
    bias: str
    rectified: bool


@dataclass(frozen=True)
class Dense:
    """A chain of linear layers; a ReLU may follow each but the last."""

    layers: tuple[_Linear, ...]

    def train(self, weights: Stacked, cohort: Cohort, optimiser: Optimiser) -> Tensor:
        """Train in place; see `covey_models.cohort.programs.Program`."""
        losses = torch.zeros(len(cohort))
        for _ in range(optimiser.task.epochs):
            losses = torch.zeros(len(cohort))
            for batch in cohort.epoch():
                losses[: len(batch.y)] += self._step(weights, batch, optimiser)
        return losses

    @torch.no_grad()
    def _step(self, weights: Stacked, batch: Batch, optimiser: Optimiser) -> Tensor:
        active = len(batch.y)
        inputs = [batch.x.flatten(2)]
        for layer in self.layers:
            weight = weights[layer.weight][:active].transpose(1, 2)
            if layer.bias:
                outputs = torch.baddbmm(weights[layer.bias][:active, None], inputs[-1], weight)
            else:
                outputs = torch.bmm(inputs[-1], weight)
            inputs.append(outputs.relu_() if layer.rectified else outputs)
        logits, truth = inputs.pop(), batch.y[..., None]
        top = torch.logsumexp(logits, 2, keepdim=True)  # torch's own log_softmax is slow for a few classes
        each = top - logits.gather(2, truth)
        towards = logits.sub_(top).exp_().scatter_add_(2, truth, -torch.ones_like(each))
        share = batch.share[..., None]
        towards *= share
        losses = (each * share).sum((1, 2)) * batch.sizes
        if optimiser.is_plain:
            for name, left, right in self._backwards(weights, inputs, towards, active):
                _add(weights[name][:active], left, right, -optimiser.task.learning_rate)
        else:
            found = {
                name: _product(left, right)
                for name, left, right in self._backwards(weights, inputs, towards, active)
            }
            optimiser.step(weights, found, active)
        return losses

    def _backwards(
        self, weights: Stacked, inputs: list[Tensor], towards: Tensor, active: int
    ) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        """Each weight's gradient as a product of two tensors, or as a sum; last layer first.

        What a layer passes on is worked out before its weight may be changed.
        """
        for place in reversed(range(len(self.layers))):
            layer, entered = self.layers[place], inputs[place]
            onwards = torch.bmm(towards, weights[layer.weight][:active]) if place else None
            yield layer.weight, towards, entered
            if layer.bias:
                yield layer.bias, towards, None
            if onwards is not None:
                below = self.layers[place - 1]
                towards = (
                    torch.ops.aten.threshold_backward(onwards, entered, 0) if below.rectified else onwards
                )


def _product(left: Tensor, right: Tensor | None) -> Tensor:
    return left.sum(1) if right is None else torch.bmm(left.transpose(1, 2), right)


def _add(weight: Tensor, left: Tensor, right: Tensor | None, factor: float) -> None:
    """Add the gradient times `factor`, in place."""
    if right is None:
        weight.add_(left.sum(1), alpha=factor)
    else:
        weight.baddbmm_(left.transpose(1, 2), right, alpha=factor)


def dense(network: nn.Module, input_shape: tuple[int, ...]) -> Dense | None:
    """The program of a network that is such a chain; None for any other."""
    layers = list[_Linear]()
    flat = len(input_shape) == 1
    for name, module in _chain(network, ""):
        if isinstance(module, nn.Linear) and (flat or not layers):
            biased = "bias" in dict(module.named_parameters())
            layers.append(_Linear(f"{name}weight", f"{name}bias" if biased else "", rectified=False))
        elif type(module) is nn.ReLU and layers and not layers[-1].rectified:
            layers[-1] = _Linear(layers[-1].weight, layers[-1].bias, rectified=True)
        elif type(module) is not nn.Identity and not (_flattens(module) and not layers):
            return None
        flat = flat or _flattens(module)
    whole = sum(1 + bool(layer.bias) for layer in layers) == sum(1 for _ in network.parameters())
    if not layers or not flat or not whole or layers[-1].rectified:
        return None
    return Dense(tuple(layers))


def _chain(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Modules that are applied one after the other, with the prefix of their parameters' names."""
    if type(module) is nn.Sequential:
        for key, child in module.named_children():
            yield from _chain(child, f"{name}{key}.")
    else:
        yield name, module


def _flattens(module: nn.Module) -> bool:
    return type(module) is nn.Flatten and module.start_dim == 1 and module.end_dim == -1
