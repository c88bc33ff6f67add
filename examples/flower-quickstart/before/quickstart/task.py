"""The network, the data of one party, and how they train and test."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

HELD_OUT = 5  # every fifth example is tested on


class Net(nn.Module):
    """Two layers for images of 8 by 8."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        """One score a digit."""
        return self.layers(x)


def load_data(partition: int, partitions: int, batch_size: int) -> tuple[DataLoader, DataLoader]:
    """What one party trains on, and what it tests on."""
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[partition::partitions, None] / 16
    y = torch.tensor(digits.target)[partition::partitions]
    held_out = torch.arange(len(y)) % HELD_OUT == 0
    order = torch.Generator().manual_seed(partition)
    trained = TensorDataset(x[~held_out], y[~held_out])
    tested = TensorDataset(x[held_out], y[held_out])
    return DataLoader(trained, batch_size, shuffle=True, generator=order), DataLoader(tested, batch_size)


def train(net: nn.Module, loader: DataLoader, epochs: int, lr: float) -> float:
    """Train in place; the mean loss of the last epoch."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    total = 0.0
    for _ in range(epochs):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
    return total / len(loader.dataset)


@torch.no_grad()
def test(net: nn.Module, loader: DataLoader) -> tuple[float, float]:
    """Mean loss, and the share that is right."""
    total, right = 0.0, 0
    for x, y in loader:
        scores = net(x)
        total += nn.functional.cross_entropy(scores, y, reduction="sum").item()
        right += int((scores.argmax(1) == y).sum())
    return total / len(loader.dataset), right / len(loader.dataset)
