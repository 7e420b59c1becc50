"""The plain convolutional autoencoder: MNAD's encoder and decoder of the same widths, without the memory.

Its prediction variant is the plain U-Net from four frames to the next.
"""

from torch import Tensor
from torch.nn import functional as F

from mnad.config import Variant
from mnad.model.blocks import Decoder, Encoder
from mnad.model.network import Network, Output


class ConvAE(Network):
    """Encode, decode; the decoder sees the features themselves.

    Args:
        width: channels of the first stage.
        item_dim: channels of the latent map (MNAD's query dimension).
        variant: ``recon`` or ``pred``, as in :class:`mnad.model.mnad.MNAD`.
    """

    def __init__(self, width: int = 64, item_dim: int = 512, variant: Variant = "recon") -> None:
        super().__init__(variant)
        self.encoder = Encoder(self.in_channels, width, item_dim)
        self.decoder = Decoder(item_dim, width, skips=variant == "pred")

    def forward(self, x: Tensor) -> Output:
        """B x in_channels x H x W in [-1, 1] -> :class:`mnad.model.network.Output`; the memory's fields stay None."""
        self.check_input(x)
        features, skips = self.encoder(x)
        output = self.decoder(features, skips)
        return Output(output.float(), F.normalize(features.float(), dim=1).permute(0, 2, 3, 1), skips)
