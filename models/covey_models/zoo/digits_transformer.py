"""Handwritten digits of 8x8 pixels by one transformer block over sixteen patches.

Dosovitskiy et al., "An image is worth 16x16 words", arXiv:2010.11929, made small: one block in the pre-norm
form (Xiong et al., arXiv:2002.04745), one head, the fixed positions of Vaswani et al., arXiv:1706.03762,
section 3.5, and a linear layer over all patches in place of a class token.
"""

from math import log, sqrt
from typing import Literal

import torch
from torch import Tensor, nn

from covey_models.layers import classifier, conv
from covey_models.model import Model

PATCH = 2
PATCHES = 16
WIDTH = 24


class Attention(nn.Module):
    """Every patch looks at every patch: softmax(QK' / sqrt(width)) V (arXiv:1706.03762, equation 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.ask, self.offer, self.give, self.mix = (unbiased(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Patches (n, 16, 24) to patches."""
        scores = self.ask(x) @ self.offer(x).transpose(1, 2) / sqrt(WIDTH)
        mixed: Tensor = self.mix(torch.softmax(scores, 2) @ self.give(x))
        return mixed


class Transformer(nn.Module):
    """Patches of 2x2 pixels, one block, a linear layer over all patches: 8,722 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = conv(1, WIDTH, (PATCH, PATCH), (PATCH, PATCH), padding=(0, 0), into="linear")
        self.positions = positions()
        self.before_attention, self.before_features, self.at_last = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.attend = Attention()
        self.features = nn.Sequential(
            unbiased(WIDTH, 2 * WIDTH, into="relu"), nn.ReLU(), unbiased(2 * WIDTH, WIDTH)
        )
        self.classify = classifier(PATCHES * WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 10) of images (n, 1, 8, 8)."""
        patches = self.embed(x).flatten(2).transpose(1, 2) + self.positions
        patches = patches + self.attend(self.before_attention(patches))
        patches = patches + self.features(self.before_features(patches))
        logits: Tensor = self.classify(self.at_last(patches).flatten(1))
        return logits


def unbiased(inputs: int, outputs: int, into: Literal["relu", "linear"] = "linear") -> nn.Linear:
    """A linear layer without a bias, which the normalisation before it has."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity=into)
    return layer


def positions() -> Tensor:
    """Sines and cosines of each patch's place, shape (16, 24): constants, not parameters."""
    places = torch.arange(PATCHES).unsqueeze(1)
    rates = torch.exp(torch.arange(0, WIDTH, 2) * (-log(10_000.0) / WIDTH))
    return torch.stack((torch.sin(places * rates), torch.cos(places * rates)), 2).flatten(1)


MODEL = Model(
    name="digits-transformer",
    summary="Which digit was written, from 8x8 grey levels, by attention between patches",
    input_shape=(1, 8, 8),
    input_units="grey level 0..1",
    input_bound=1.0,
    labels=tuple("0123456789"),
    build=Transformer,
    licence="CC-BY-4.0",
    source="Vision transformer of one block: Dosovitskiy et al., arXiv:2010.11929; data: Alpaydin and "
    "Kaynak, doi:10.24432/C50P49",
)
