"""What one of Ray's processes keeps from one of Flower's messages to the next: data, network, optimiser."""

from functools import cache
from pathlib import Path

import torch
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from simulation_peers import local, workload
from torch import nn


class Worker:
    """Plays whichever client a message is for."""

    def __init__(self, folder: Path) -> None:
        local.alone()
        self._clients = workload.read(folder)
        self._network = local.network(self._clients)
        self._optimiser = local.sgd(self._network, self._clients)

    def answer(self, message: Message, client: int) -> Message:
        """Train from the weights in the message."""
        weights = message.content.array_records["arrays"]
        local.load(self._network, {name: torch.from_numpy(value.numpy()) for name, value in weights.items()})
        local.train(self._network, self._optimiser, local.client_batches(self._clients, client))
        # with a clip a client counts once, as the clip is of what one client can do
        weight = 1 if self._clients.workload.clip else self._clients.size(client)
        metrics = MetricRecord({"num-examples": weight})
        content = RecordDict({"arrays": record(self._network), "metrics": metrics})
        return Message(content=content, reply_to=message)


@cache
def worker(folder: Path) -> Worker:
    """This process's own."""
    return Worker(folder)


def record(network: nn.Module) -> ArrayRecord:
    """A network's weights as Flower sends them."""
    return ArrayRecord({name: Array(value.detach().numpy()) for name, value in network.named_parameters()})
