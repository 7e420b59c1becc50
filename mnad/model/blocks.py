"""Convolution blocks of the encoder and the decoder, shared by both variants and by the baselines.

Channel widths are ``width * (1, 2, 4, 8)``; the official width is 64, so 64, 128, 256, 512.
"""

import torch
from torch import Tensor, nn

from mnad.config import STRIDE


def conv_bn_relu(in_channels: int, out_channels: int) -> list[nn.Module]:
    """3 x 3 convolution, batch normalisation, ReLU; keeps H and W."""
    return [nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]


def block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two times conv-BN-ReLU, ``in_channels -> out_channels -> out_channels``."""
    return nn.Sequential(*conv_bn_relu(in_channels, out_channels), *conv_bn_relu(out_channels, out_channels))


def up(in_channels: int, out_channels: int) -> nn.Sequential:
    """Transposed convolution that doubles H and W, then BN-ReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class Encoder(nn.Module):
    """Four stages with max-pooling between them; the last ends in a bare convolution (no BN, no ReLU)."""

    stride = STRIDE

    def __init__(self, in_channels: int = 3, width: int = 64, out_channels: int = 512) -> None:
        super().__init__()
        w = width
        self.stage1 = block(in_channels, w)
        self.stage2 = block(w, 2 * w)
        self.stage3 = block(2 * w, 4 * w)
        self.stage4 = nn.Sequential(*conv_bn_relu(4 * w, 8 * w), nn.Conv2d(8 * w, out_channels, 3, padding=1))
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """B x in_channels x H x W -> features B x out_channels x H/8 x W/8, and the three skip maps."""
        skip1 = self.stage1(x)  # B x w x H x W
        skip2 = self.stage2(self.pool(skip1))  # B x 2w x H/2 x W/2
        skip3 = self.stage3(self.pool(skip2))  # B x 4w x H/4 x W/4
        return self.stage4(self.pool(skip3)), (skip1, skip2, skip3)


class Decoder(nn.Module):
    """Four stages up to a picture in [-1, 1]; a U-Net with ``skips`` (prediction), plain without (reconstruction)."""

    def __init__(self, in_channels: int = 1024, width: int = 64, out_channels: int = 3, skips: bool = False) -> None:
        super().__init__()
        w = width
        self.skips = skips
        # A U-Net's up step halves the channels and the skip map brings them back; the plain one keeps them.
        rate = 2 if skips else 1
        self.block4 = block(in_channels, 8 * w)
        self.up4 = up(8 * w, 8 * w // rate)
        self.block3 = block(8 * w, 4 * w)
        self.up3 = up(4 * w, 4 * w // rate)
        self.block2 = block(4 * w, 2 * w)
        self.up2 = up(2 * w, 2 * w // rate)
        self.head = nn.Sequential(
            *conv_bn_relu(2 * w, w), *conv_bn_relu(w, w), nn.Conv2d(w, out_channels, 3, padding=1), nn.Tanh()
        )

    def forward(self, x: Tensor, skips: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """B x in_channels x H/8 x W/8 -> B x out_channels x H x W in [-1, 1]."""
        skip1, skip2, skip3 = skips
        x = self.block3(self._join(self.up4(self.block4(x)), skip3))  # B x 4w x H/4 x W/4
        x = self.block2(self._join(self.up3(x), skip2))  # B x 2w x H/2 x W/2
        return self.head(self._join(self.up2(x), skip1))  # B x out_channels x H x W

    def _join(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat((skip, x), dim=1) if self.skips else x
