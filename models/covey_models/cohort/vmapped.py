"""Any network without secrets of its own, by torch.func: one call of its gradient over a cohort's weights.

Each device's weights differ after the first step, so that convolutions become grouped ones. That pays where
a network is small and most of the time is overhead; see `covey_models.cohort.programs`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.functional import cross_entropy

from covey_models.cohort.step import Optimiser, Stacked
from covey_models.cohort.steps import Cohort

Gradient = Callable[[Stacked, Tensor, Tensor, Tensor], tuple[Stacked, Tensor]]


@dataclass(frozen=True)
class Vmapped:
    """A network whose gradient is taken for all devices in one call."""

    network: nn.Module
    gradient: Gradient = field(repr=False)

    @classmethod
    def of(cls, network: nn.Module) -> "Vmapped":
        """The program of a network; `refusal` says whether there can be one."""

        def loss(weights: Stacked, x: Tensor, y: Tensor, share: Tensor) -> Tensor:
            each = cross_entropy(functional_call(network, weights, (x,)), y, reduction="none")
            return (each * share).sum()

        return cls(network, vmap(grad_and_value(loss)))

    def train(self, weights: Stacked, cohort: Cohort, optimiser: Optimiser) -> Tensor:
        """Train in place; see `covey_models.cohort.programs.Program`."""
        losses = torch.zeros(len(cohort))
        for _ in range(optimiser.task.epochs):
            losses = torch.zeros(len(cohort))
            for batch in cohort.epoch():
                active = len(batch.y)
                first = {name: each[:active] for name, each in weights.items()}
                gradients, means = self.gradient(first, batch.x, batch.y, batch.share)
                with torch.no_grad():
                    optimiser.step(weights, gradients, active)
                    losses[:active] += means * batch.sizes
        return losses


def refusal(network: nn.Module, input_shape: tuple[int, ...]) -> str:
    """Which layer keeps a network from being batched, and why; empty if none does."""
    inside = list[str]()
    hooks = []
    for name, module in network.named_modules():

        def enter(module: nn.Module, _: object, name: str = name) -> None:
            inside.append(f"{name or 'the network'} ({type(module).__name__})")

        hooks += [
            module.register_forward_pre_hook(enter),
            module.register_forward_hook(lambda *_: inside.pop() and None),
        ]
    try:
        _tried(network, input_shape)
    except Exception as error:  # noqa: BLE001 - whatever the network's own code raises is the reason
        first = str(error).strip().partition("\n")[0]
        return f"{inside[-1] if inside else 'the network'}: {_why(first) or type(error).__name__}"
    finally:
        for hook in hooks:
            hook.remove()
    return ""


def _tried(network: nn.Module, input_shape: tuple[int, ...]) -> None:
    weights = {name: torch.stack([each.detach()] * 2) for name, each in network.named_parameters()}
    x = torch.zeros(2, 2, *input_shape)
    Vmapped.of(network).gradient(weights, x, torch.zeros(2, 2, dtype=torch.long), torch.ones(2, 2))


def _why(message: str) -> str:
    if "random" in message:
        return "it draws random numbers, which each device draws from its own seed"
    if ".item()" in message:
        return "it looks at a value in Python, as .item() or an if does"
    return message
