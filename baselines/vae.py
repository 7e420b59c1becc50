"""Variational autoencoder (Kingma and Welling 2014): MNAD's encoder and decoder around a Gaussian latent map."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.model.blocks import Decoder, Encoder
from mnad.model.network import Network, Output


class VAE(Network):
    """The encoder gives mean and log variance of a latent map; training samples it, evaluation takes the mean.

    The term ``kl`` is KL(q(z|x) || N(0, 1)) of an image divided by its number of values 3HW. With the pixel loss a
    mean over these values, ``pixel + w * kl`` is the negative evidence bound of a Gaussian decoder of variance w/2,
    up to scale and constant. The default w, 0.02, is a decoder's deviation of 0.1 on [-1, 1].

    Args:
        width: channels of the first stage.
        item_dim: channels of the latent map.
    """

    loss_weights: ClassVar[dict[str, float | None]] = {"kl": 0.02}

    def __init__(self, width: int = 64, item_dim: int = 512) -> None:
        super().__init__()
        self.encoder = Encoder(3, width, 2 * item_dim)
        self.decoder = Decoder(item_dim, width)

    def forward(self, x: Tensor) -> Output:
        """B x 3 x H x W in [-1, 1] -> :class:`mnad.model.network.Output` with the extra loss ``kl``."""
        self.check_input(x)
        features, skips = self.encoder(x)
        mean, log_variance = features.float().chunk(2, dim=1)  # B x C x H/8 x W/8 each
        log_variance = log_variance.clamp(-20, 10)  # keeps the exponential finite
        latent = mean + torch.randn_like(mean) * (log_variance / 2).exp() if self.training else mean
        output = self.decoder(latent, skips).float()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / x.numel()
        return Output(output, F.normalize(mean, dim=1).permute(0, 2, 3, 1), skips, extra_losses={"kl": kl})
