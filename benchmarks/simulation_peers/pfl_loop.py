"""pfl-research (arXiv:2404.06430): its simulated backend, its federated averaging, its Gaussian mechanism.

Two processes are started by torchrun, as pfl wants it; each takes its part of the cohort.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints, WeightByUser
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.internal.ops.pytorch_ops import distributed
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from pfl.privacy import CentrallyAppliedPrivacyMechanism, GaussianMechanism
from simulation_peers import local, workload
from simulation_peers.job import Job
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class Network(nn.Module):
    """A network with the two methods that pfl asks for."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.network(x)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """To minimise."""
        return cross_entropy(self(x), y)

    def metrics(self, *_: Tensor) -> dict[str, Any]:
        """None."""
        return {}


class Model(PyTorchModel):
    """Not evaluated in the first round, as no other peer is."""

    def evaluate(self, *_: Any, **__: Any) -> Metrics:
        """Nothing."""
        return Metrics()


class Client(Dataset):
    """A client's examples, in the batches that all peers have."""

    def iter(self, batch_size: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in random order."""
        x, y = self.raw_data
        order = torch.randperm(len(y))
        for part in workload.batches(len(y), batch_size or len(y)):
            index = order[part]
            yield x[index], y[index]


class Clock(TrainingProcessCallback):
    """Tells when a round is over."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """A round, from 0, is over."""
        del aggregate_metrics, model
        if not distributed.global_rank:
            self._job.round_ended(central_iteration + 1)
        return False, Metrics()


def main(job: Job) -> None:
    """Federated averaging."""
    clients, asked = job.clients, job.clients.workload
    np.random.seed(asked.seed)  # noqa: NPY002 - pfl draws its cohorts from it
    torch.manual_seed(asked.seed)
    network = Network(local.network(clients))
    model = Model(network, torch.optim.SGD, torch.optim.SGD(network.parameters(), 1.0))
    sampler = get_user_sampler("random", list(range(asked.clients)))

    def client(number: int) -> Client:
        x, y = clients.of(number)
        return Client((torch.from_numpy(x), torch.from_numpy(y)), user_id=str(number))

    data = FederatedDataset(client, sampler)
    steps: list[Any] = [WeightByUser() if asked.clip else WeightByDatapoints()]
    if asked.clip:
        steps.insert(0, CentrallyAppliedPrivacyMechanism(GaussianMechanism(asked.clip, asked.noise)))
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=job.rounds,
            evaluation_frequency=job.rounds,
            train_cohort_size=asked.cohort,
            val_cohort_size=0,
        ),
        SimulatedBackend(data, data, steps),
        model,
        NNTrainHyperParams(local_num_epochs=1, local_learning_rate=asked.rate, local_batch_size=asked.batch),
        NNEvalHyperParams(local_batch_size=asked.batch),
        [Clock(job)],
        send_metrics_to_platform=False,
    )
    if not distributed.global_rank:
        job.finished(*local.score(network.network, clients), ["torch", "pfl"])


if __name__ == "__main__":
    local.alone()
    main(Job.given())
