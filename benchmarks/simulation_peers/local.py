"""Steps that a client takes in torch, written once for every peer that lets its user write them."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from simulation_peers import networks, workload
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

HELD_OUT_AT_ONCE = 100


def alone() -> None:
    """One thread: the others are the machine's, not this worker's."""
    torch.set_num_threads(1)


def network(clients: workload.Clients) -> nn.Sequential:
    """The workload's network with its first weights."""
    built = networks.build(clients.workload.network)
    load(built, {name: torch.from_numpy(value) for name, value in clients.initial.items()})
    return built


@torch.no_grad()
def load(module: nn.Module, parameters: Mapping[str, Tensor]) -> None:
    """Copy parameters in."""
    for name, value in module.named_parameters():
        value.copy_(parameters[name])


def client_batches(
    clients: workload.Clients, client: int, generator: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in random order."""
    x, y = (torch.from_numpy(each) for each in clients.of(client))
    order = torch.randperm(len(y), generator=generator)
    for part in workload.batches(len(y), clients.workload.batch):
        index = order[part]
        yield x[index], y[index]


def train(
    module: nn.Module, optimiser: torch.optim.Optimizer, batches: Iterator[tuple[Tensor, Tensor]]
) -> None:
    """One epoch of SGD, in place."""
    for x, y in batches:
        optimiser.zero_grad()
        torch.autograd.backward(cross_entropy(module(x), y))
        optimiser.step()


def sgd(module: nn.Module, clients: workload.Clients) -> torch.optim.SGD:
    """The optimiser that every peer uses."""
    return torch.optim.SGD(module.parameters(), lr=clients.workload.rate)


@torch.no_grad()
def score(module: nn.Module, clients: workload.Clients) -> tuple[float, float]:
    """Accuracy and mean cross-entropy on the held-out examples."""
    right, loss, count = 0, 0.0, len(clients.held_y)
    for start in range(0, count, HELD_OUT_AT_ONCE):
        x = torch.from_numpy(clients.held_x[start : start + HELD_OUT_AT_ONCE])
        y = torch.from_numpy(clients.held_y[start : start + HELD_OUT_AT_ONCE])
        logits = module(x)
        right += int((logits.argmax(1) == y).sum())
        loss += float(cross_entropy(logits, y, reduction="sum"))
    return right / count, loss / count


def score_of(parameters: Mapping[str, np.ndarray], clients: workload.Clients) -> tuple[float, float]:
    """The same for parameters by name."""
    built = networks.build(clients.workload.network)
    load(built, {name: torch.from_numpy(np.asarray(value)) for name, value in parameters.items()})
    return score(built, clients)
