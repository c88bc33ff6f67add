"""Makes a workload's arrays, once for all that are measured on it."""

from pathlib import Path

import numpy as np
import torch
from simulation_peers import networks, workload

from covey_simulations.data import digits

NOISE = 1.0
"""Of a pixel, beside patterns whose deviation is 1/2."""
HELD_OUT = 1000


POOL = 1000
"""Clients that have examples of their own; a larger fleet's are windows of theirs."""


def prepare(asked: workload.Workload, folder: Path) -> None:
    """Write a workload's clients."""
    generator = np.random.default_rng(asked.seed)
    sizes = generator.integers(asked.fewest, asked.most, endpoint=True, size=asked.clients)
    classes = _classes(asked, sizes[:POOL], generator)
    end = np.cumsum(sizes)
    if asked.clients > POOL:
        end[POOL:] = sizes[POOL:] + generator.integers(len(classes) - asked.most, size=asked.clients - POOL)
    torch.manual_seed(asked.seed)
    initial = networks.build(asked.network).named_parameters()
    x, held_x, held_y = _digits(classes, generator) if asked.network == "mlp" else _images(classes, generator)
    clients = workload.Clients(
        workload=asked,
        x=x,
        y=classes,
        start=end - sizes,
        end=end,
        held_x=held_x,
        held_y=held_y,
        initial={name: value.detach().numpy() for name, value in initial},
    )
    workload.save(clients, folder)


def _classes(
    asked: workload.Workload, sizes: workload.Array, generator: np.random.Generator
) -> workload.Array:
    """Each client's classes, by its own Dirichlet draw."""
    even = np.full(networks.CLASSES, 1 / networks.CLASSES)
    alpha = np.full(networks.CLASSES, asked.alpha)
    parts = [
        generator.choice(networks.CLASSES, size, p=generator.dirichlet(alpha) if asked.alpha else even)
        for size in sizes
    ]
    return np.concatenate(parts).astype(np.int64)


def _digits(
    classes: workload.Array, generator: np.random.Generator
) -> tuple[workload.Array, workload.Array, workload.Array]:
    """Real digits, 8x8: a client draws from the training images of each class, with replacement."""
    pool = digits.load().devices["pool"]
    index = np.empty(len(classes), np.int64)
    for label in range(networks.CLASSES):
        here = np.flatnonzero(classes == label)
        index[here] = generator.choice(np.flatnonzero(pool.train.y == label), len(here))
    return pool.train.x[index].reshape(-1, 64), pool.held_out.x.reshape(-1, 64), pool.held_out.y


def _images(
    classes: workload.Array, generator: np.random.Generator
) -> tuple[workload.Array, workload.Array, workload.Array]:
    """Synthetic images 3x32x32: a coarse pattern for each class, in noise."""
    coarse = generator.standard_normal((networks.CLASSES, 3, 8, 8), np.float32) / 2
    patterns = coarse.repeat(4, axis=2).repeat(4, axis=3)
    held_y = np.arange(HELD_OUT) % networks.CLASSES
    return (
        _noisy(patterns, classes, generator),
        _noisy(patterns, held_y, generator),
        held_y.astype(np.int64),
    )


def _noisy(
    patterns: workload.Array, classes: workload.Array, generator: np.random.Generator
) -> workload.Array:
    """In blocks: all the noise at once would be as large as the images."""
    x = patterns[classes]
    for start in range(0, len(x), 1000):
        block = x[start : start + 1000]
        block += NOISE * generator.standard_normal(block.shape, np.float32)
    return x
