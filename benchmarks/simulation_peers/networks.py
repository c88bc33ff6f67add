"""The two networks, as every peer builds them: no batch normalisation, no dropout."""

from torch import nn

NETWORKS = {"mlp": 4_810, "cnn": 1_626_442}
"""Names, and how many parameters they have."""

INPUTS = {"mlp": (64,), "cnn": (3, 32, 32)}
CLASSES = 10


def build(name: str) -> nn.Sequential:
    """A network with fresh parameters; seed torch's generator first."""
    return _mlp() if name == "mlp" else _cnn()


def _mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def _cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 14 * 14, 128),
        nn.ReLU(),
        nn.Linear(128, CLASSES),
    )
