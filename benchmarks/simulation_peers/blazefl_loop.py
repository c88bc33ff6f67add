"""BlazeFL (arXiv:2604.03606): its serial FedAvg, server and clients. It has no clip and no noise."""

from typing import Any

import torch
from blazefl.contrib.fedavg import FedAvgBaseClientTrainer, FedAvgBaseServerHandler
from simulation_peers import local, networks
from simulation_peers.job import Job
from torch import Tensor, nn


class Batches(list[tuple[Tensor, Tensor]]):
    """A client's epoch, in the place of a data loader; `dataset` is what its size is taken from."""

    def __init__(self, job: Job, client: int, generator: torch.Generator | None) -> None:
        super().__init__(local.client_batches(job.clients, client, generator))
        self.dataset = range(job.clients.size(client))


class Dataset:
    """What BlazeFL takes clients' data from."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def get_dataloader(
        self, type_: str, cid: int, batch_size: int, generator: torch.Generator | None = None
    ) -> Batches:
        """The batches that all peers have."""
        del type_, batch_size
        return Batches(self._job, cid, generator)


class Selector:
    """Makes networks."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def select_model(self, model_name: str) -> nn.Module:
        """One with the first weights."""
        if model_name not in networks.NETWORKS:
            raise ValueError(model_name)
        return local.network(self._job.clients)


def main(job: Job) -> None:
    """Federated averaging, client after client."""
    asked = job.clients.workload
    selector: Any = Selector(job)
    data: Any = Dataset(job)
    handler = FedAvgBaseServerHandler(
        model_selector=selector,
        model_name=asked.network,
        dataset=data,
        global_round=job.rounds,
        num_clients=asked.clients,
        sample_ratio=asked.cohort / asked.clients,
        device="cpu",
        batch_size=asked.batch,
        seed=asked.seed,
    )
    trainer = FedAvgBaseClientTrainer(
        model_selector=selector,
        model_name=asked.network,
        dataset=data,
        device="cpu",
        num_clients=asked.clients,
        epochs=1,
        batch_size=asked.batch,
        lr=asked.rate,
        seed=asked.seed,
    )
    while not handler.is_stopped():
        cohort = handler.sample_clients()
        trainer.local_process(handler.downlink_package(), cohort)
        for package in trainer.uplink_package():
            handler.load(package)
        job.round_ended(handler.round)
    job.finished(*local.score(handler.model, job.clients), ["torch", "blazefl"])


if __name__ == "__main__":
    local.alone()
    main(Job.given())
