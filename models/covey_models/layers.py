"""Blocks for networks without normalisation layers.

Batch normalisation keeps statistics of the data in buffers, which would leave a device beside the sum,
and group normalisation has no int8 kernels in ONNX Runtime. Without either, the initial scale decides
whether a deep network trains: every layer starts from He et al., arXiv:1502.01852, equation 10.
"""

from typing import Literal

from torch import nn

Size = tuple[int, int]


def conv(  # noqa: PLR0913 - the parameters of a convolution
    inputs: int,
    outputs: int,
    kernel: Size,
    stride: Size = (1, 1),
    *,
    padding: Size | None = None,
    groups: int = 1,
    into: Literal["relu", "linear"] = "relu",
) -> nn.Conv2d:
    """A 2-D convolution with He initialisation for what follows it, and zero bias.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Height and width; odd sizes keep the input's size at stride 1.
        stride: Vertical and horizontal.
        padding: Zeros on each side; None: half the kernel.
        groups: `inputs` makes it depthwise.
        into: What its output meets: a ReLU halves the variance, a linear layer does not.
    """
    zeros = (kernel[0] // 2, kernel[1] // 2) if padding is None else padding
    layer = nn.Conv2d(inputs, outputs, kernel, stride, zeros, groups=groups)
    nn.init.kaiming_normal_(layer.weight, nonlinearity=into)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def separable(inputs: int, outputs: int, kernel: Size, stride: Size = (1, 1)) -> nn.Sequential:
    """Depthwise then pointwise convolution, and a ReLU (Howard et al., MobileNets, arXiv:1704.04861).

    There is no ReLU between the two: without normalisation it loses more than it brings.
    """
    return nn.Sequential(
        conv(inputs, inputs, kernel, stride, groups=inputs, into="linear"),
        conv(inputs, outputs, (1, 1)),
        nn.ReLU(),
    )


def dense(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer whose output meets a ReLU."""
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def classifier(features: int, classes: int) -> nn.Linear:
    """The last layer: logits from features."""
    layer = nn.Linear(features, classes)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    nn.init.zeros_(layer.bias)
    return layer
