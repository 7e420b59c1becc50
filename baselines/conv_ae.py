"""The plain convolutional autoencoder: MNAD's encoder and decoder of the same widths, without the memory."""

from torch import Tensor, nn
from torch.nn import functional as F

from mnad.blocks import Decoder, Encoder
from mnad.model import Output, check_input


class ConvAE(nn.Module):
    """Encode, decode; the decoder sees the features themselves.

    Args:
        width: channels of the first stage.
        item_dim: channels of the latent map (MNAD's query dimension).
    """

    def __init__(self, width: int = 64, item_dim: int = 512) -> None:
        super().__init__()
        self.encoder = Encoder(3, width, item_dim)
        self.decoder = Decoder(item_dim, width)

    def forward(self, x: Tensor) -> Output:
        """B x 3 x H x W in [-1, 1] -> :class:`mnad.model.Output` with the fields of the memory left None."""
        check_input(x, 3)
        features, skips = self.encoder(x)
        output = self.decoder(features, skips)
        return Output(output.float(), F.normalize(features.float(), dim=1).permute(0, 2, 3, 1), skips)
