"""A plain torch loop: one network, weights copied in and out, one running sum; no framework to pay for."""

import torch
from simulation_peers import local
from simulation_peers.job import Job
from torch import Tensor


def main(job: Job) -> None:
    """Federated averaging, client after client."""
    clients, asked = job.clients, job.clients.workload
    module = local.network(clients)
    optimiser = local.sgd(module, clients)
    weights = list[Tensor](module.parameters())
    server = [weight.detach().clone() for weight in weights]
    generator = torch.Generator().manual_seed(asked.seed)
    for number in range(1, job.rounds + 1):
        total, count = [torch.zeros_like(value) for value in server], 0.0
        for client in clients.cohort(number):
            _copy(server, weights)
            local.train(module, optimiser, local.client_batches(clients, int(client), generator))
            # with a clip a client counts once, as the clip is of what one client can do
            weight = 1.0 if asked.clip else float(clients.size(int(client)))
            _add(total, server, weights, weight, asked.clip)
            count += weight
        _step(server, total, count, asked.clip * asked.noise, generator)
        job.round_ended(number)
    _copy(server, weights)
    job.finished(*local.score(module, clients), ["torch"])


@torch.no_grad()
def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    for old, new in zip(target, source, strict=True):
        old.copy_(new)


@torch.no_grad()
def _add(
    total: list[Tensor], server: list[Tensor], weights: list[Tensor], weight: float, clip: float
) -> None:
    """Add a client's update to the sum."""
    update = [trained - before for trained, before in zip(weights, server, strict=True)]
    if clip:
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(each) for each in update]))
        weight *= min(1.0, clip / float(norm))
    for each, change in zip(total, update, strict=True):
        each.add_(change, alpha=weight)


def _step(
    server: list[Tensor], total: list[Tensor], count: float, deviation: float, generator: torch.Generator
) -> None:
    """Take the mean of the updates, with noise on their sum."""
    for value, each in zip(server, total, strict=True):
        if deviation:
            each.add_(torch.randn(each.shape, generator=generator), alpha=deviation)
        value.add_(each, alpha=1 / count)


if __name__ == "__main__":
    local.alone()
    main(Job.given())
