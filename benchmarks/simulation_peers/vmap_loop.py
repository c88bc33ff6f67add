"""A cohort as one program: `torch.func.vmap` over `grad`, clients padded to the longest with masks."""

import numpy as np
import torch
from simulation_peers import local, workload
from simulation_peers.job import Job
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

Weights = dict[str, Tensor]


def main(job: Job) -> None:
    """Federated averaging, a cohort at a time."""
    clients, asked = job.clients, job.clients.workload
    module = local.network(clients)

    def loss(weights: Weights, x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        each = cross_entropy(functional_call(module, weights, (x,)), y, reduction="none")
        return (each * mask).sum() / mask.sum().clamp(min=1)

    gradients = vmap(grad(loss))
    server = {name: value.detach().clone() for name, value in module.named_parameters()}
    x, y = torch.from_numpy(clients.x), torch.from_numpy(clients.y)
    generator = np.random.default_rng(asked.seed)
    noise = torch.Generator().manual_seed(asked.seed)
    for number in range(1, job.rounds + 1):
        cohort = clients.cohort(number)
        index, mask = _padded(clients, cohort, generator)
        weights = {name: value.expand(len(cohort), *value.shape) for name, value in server.items()}
        for step in range(index.shape[1]):
            slopes = gradients(weights, x[index[:, step]], y[index[:, step]], mask[:, step])
            weights = {name: weights[name].sub(slopes[name], alpha=asked.rate) for name in weights}
        server = _mean(server, weights, mask.sum((1, 2)), asked, noise)
        job.round_ended(number)
    local.load(module, server)
    job.finished(*local.score(module, clients), ["torch"])


def _padded(
    clients: workload.Clients, cohort: workload.Array, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Indices of examples and which of them count, (clients, steps, batch)."""
    plans = [workload.batches(clients.size(client), clients.workload.batch) for client in cohort]
    steps = max(map(len, plans))
    longest = max(part.stop - part.start for plan in plans for part in plan)
    index = np.zeros((len(cohort), steps, longest), np.int64)
    mask = np.zeros(index.shape, np.float32)
    for row, (client, plan) in enumerate(zip(cohort, plans, strict=True)):
        order = clients.start[client] + generator.permutation(clients.size(client))
        for step, part in enumerate(plan):
            index[row, step, : part.stop - part.start] = order[part]
            mask[row, step, : part.stop - part.start] = 1
    return torch.from_numpy(index), torch.from_numpy(mask)


def _mean(
    server: Weights, weights: Weights, sizes: Tensor, asked: workload.Workload, noise: torch.Generator
) -> Weights:
    """The server's weights after the round."""
    updates = {name: value - server[name] for name, value in weights.items()}
    share = sizes / sizes.sum()
    if asked.clip:
        squares = sum(value.flatten(1).square().sum(1) for value in updates.values())
        share = (asked.clip / torch.as_tensor(squares).sqrt()).clamp(max=1) / len(sizes)
    mean = {name: torch.tensordot(share, value, 1) for name, value in updates.items()}
    if asked.noise:
        deviation = asked.clip * asked.noise / len(sizes)
        for value in mean.values():
            value.add_(torch.randn(value.shape, generator=noise), alpha=deviation)
    return {name: value + mean[name] for name, value in server.items()}


if __name__ == "__main__":
    local.alone()
    main(Job.given())
