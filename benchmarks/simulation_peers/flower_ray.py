"""Flower's simulation runtime (arXiv:2007.14390): virtual nodes on Ray, its FedAvg and its fixed clipping."""

from pathlib import Path

import ray
from flwr.app import ArrayRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg, Strategy
from flwr.simulation import run_simulation
from simulation_peers import local
from simulation_peers.flower_worker import record, worker
from simulation_peers.job import Job

WORKERS = 2


def client_app(folder: Path) -> ClientApp:
    """Answers for every virtual node."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return worker(folder).answer(message, int(context.node_config["partition-id"]))

    return app


def server_app(job: Job) -> ServerApp:
    """Federated averaging; tells when a round is over."""
    app, clients = ServerApp(), job.clients
    asked = clients.workload

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        del context
        network = local.network(clients)

        def ended(number: int, arrays: ArrayRecord) -> None:
            if number:
                job.round_ended(number)
            if number == job.rounds:
                found = {name: value.numpy() for name, value in arrays.items()}
                job.finished(*local.score_of(found, clients), ["torch", "flwr", "ray"])

        strategy: Strategy = FedAvg(
            fraction_train=asked.cohort / asked.clients,
            fraction_evaluate=0.0,
            min_train_nodes=asked.cohort,
            min_available_nodes=asked.clients,
        )
        if asked.clip:
            strategy = DifferentialPrivacyServerSideFixedClipping(
                strategy, asked.noise, asked.clip, asked.cohort
            )
        strategy.start(grid, record(network), num_rounds=job.rounds, evaluate_fn=ended)

    return app


def main(job: Job) -> None:
    """All in this process, and in Ray's."""
    run_simulation(
        server_app(job),
        client_app(job.folder),
        job.clients.workload.clients,
        backend_config={
            "init_args": {"num_cpus": WORKERS},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )
    ray.shutdown()


if __name__ == "__main__":
    local.alone()
    main(Job.given())
