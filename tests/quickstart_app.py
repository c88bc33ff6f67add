"""The example app, as it was and made private, with devices that hold a part of the digits each."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from covey.ledger.note import Ed25519Signer, read_vkey, signed
from covey_models.model import Model
from covey_server.fleet_keys import make_fleet
from covey_server.fleet_policy import drafted
from covey_simulations.grid import SERVER, InProcessGrid

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other

EXAMPLE = Path(__file__).parents[1] / "examples/flower-quickstart"
DEVICES = 12
RUN: Mapping[str, Any] = {"local-epochs": 1, "learning-rate": 0.1, "batch-size": 16, "num-server-rounds": 1}

FEDERATION = """
name = "quickstart"

[model]
file = "{model}"

[federation]
rounds = {rounds}
standardise = false
validate_every = 1
examples_cap = 200
update_clip = {clip}
minimum_devices = {minimum}
round_timeout = 900.0

[privacy]
{privacy}

[release]
int8 = false
"""
NOISY = "train_multiplier = 0.05\nvalidate_multiplier = 0.05"


@contextmanager
def importable(which: str) -> Iterator[None]:
    """The package `quickstart` is the one of this folder; both have that name."""
    path = str(EXAMPLE / which)
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)
        for name in [each for each in sys.modules if each.partition(".")[0] == "quickstart"]:
            del sys.modules[name]


@dataclass(frozen=True)
class App:
    """Both halves of an app."""

    client: ClientApp
    server: ServerApp


def app_of(which: str) -> App:
    """As `flwr run` loads it."""
    with importable(which):
        client, server = (import_module(f"quickstart.{half}_app").app for half in ("client", "server"))
    return App(client, server)


def model_of() -> Model:
    """What the private app says that it trains."""
    with importable("after"):
        found: Model = import_module("quickstart.model").MODEL
    return found


@dataclass(frozen=True)
class Place:
    """A fleet of devices with keys, and what its server reads.

    Attributes:
        folder: Of the test.
        rounds: Of the federation.
        devices: How many.
    """

    folder: Path
    rounds: int = 1
    devices: int = DEVICES

    @property
    def names(self) -> list[str]:
        """Of the devices."""
        return [f"pi{index:02d}" for index in range(self.devices)]

    def make(self, *, privacy: str, clip: float = 50.0, minimum: int = 9) -> None:
        """Keys, the federation, and the policy that goes with it if it has noise."""
        make_fleet(self.folder / "keys", "quickstart", self.names, 2)
        text = FEDERATION.format(
            model=EXAMPLE / "after/quickstart/model.py",
            rounds=self.rounds,
            clip=clip,
            minimum=minimum,
            privacy=privacy,
        )
        (self.folder / "federation.toml").write_text(text)
        if "noise = false" not in privacy:
            self.agree()

    def agree(self) -> None:
        """The reviewer signs what the operator drafts."""
        operator, reviewer = self.folder / "keys/operator", self.folder / "keys/reviewer"
        with importable("after"):
            text = drafted(
                self.folder / "federation.toml",
                operator,
                purpose="Read digits that people wrote by hand.",
                days=1,
                spare=0,
                rate_limit="none",
                after=None,
            )
        key = load_pem_private_key((reviewer / "reviewer.pem").read_bytes(), None)
        assert isinstance(key, Ed25519PrivateKey)
        name = read_vkey((reviewer / "reviewer.vkey").read_text()).name
        (operator / "policy").write_bytes(signed(text, Ed25519Signer(name, key.private_bytes_raw())))

    def run_config(self, **changes: Any) -> dict[str, Any]:
        """What `flwr run -c` would say."""
        own = {
            "num-server-rounds": self.rounds,
            "federation": str(self.folder / "federation.toml"),
            "runs": str(self.folder / "runs"),
            "operator": str(self.folder / "keys/operator"),
            "save-as": str(self.folder / "model.pt"),
        }
        return {**RUN, **own, **changes}

    def node_config(self, index: int) -> dict[str, Any]:
        """What a SuperNode is started with."""
        keys = str(self.folder / "keys/devices" / self.names[index])
        return {"partition-id": index, "num-partitions": self.devices, "keys": keys}

    def context(self, **changes: Any) -> Context:
        """The ServerApp's."""
        return Context(1, SERVER, {}, RecordDict(), self.run_config(**changes))

    def grid(self, client: ClientApp, **node: Any) -> "WatchedGrid":
        """All devices.

        Args:
            client: What they run.
            node: In their configurations, beside what is there anyway.
        """
        configs = {index + 2: {**self.node_config(index), **node} for index in range(self.devices)}
        return WatchedGrid(client, configs, self.run_config())

    def run(self, which: str, **node: Any) -> "WatchedGrid":
        """The whole app, from the first message to the model on the server's disk."""
        app = app_of(which)
        grid = self.grid(app.client, **node)
        app.server(grid, self.context())
        return grid

    def model(self) -> dict[str, Any]:
        """What the server kept."""
        found: dict[str, Any] = torch.load(self.folder / "model.pt", weights_only=True)
        return {name: value.numpy() for name, value in found.items()}


class WatchedGrid(InProcessGrid):
    """Devices with configurations of their own, and everything that left them."""

    def __init__(self, client: ClientApp, nodes: Mapping[int, dict[str, Any]], run: dict[str, Any]) -> None:
        super().__init__(client, nodes)
        for node, config in nodes.items():
            self._contexts[node] = Context(1, node, config, RecordDict(), dict(run))
        self.sent: list[Message] = []
        self.left: list[Message] = []

    def _deliver(self, message: Message, identifier: str) -> Message:
        self.sent.append(message)
        reply = super()._deliver(message, identifier)
        self.left.append(reply)
        return reply


def flat(model: Mapping[str, Any]) -> Any:
    """All parameters of a model, in order of their names."""
    return np.concatenate([np.asarray(value).ravel() for _, value in sorted(model.items())])
