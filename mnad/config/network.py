"""What the network is. Where paper and official code differ, the default is the official behaviour."""

from dataclasses import dataclass, field
from typing import Literal

from mnad.run import UserError

Variant = Literal["recon", "pred"]
UpdateNormaliser = Literal["all", "assigned"]
Reduction = Literal["mean", "sum"]
EncoderKind = Literal["official", "local"]
Query = Literal["unit", "standardised"]
Scope = Literal["shared", "position"]
Addressing = Literal["soft", "hard"]
Sees = Literal["both", "read", "query"]
UpdateRule = Literal["official", "ema"]
PlaceScope = Literal["auto", "position", "shared"]
Align = Literal["auto", "never", "always"]
ScorePrecision = Literal["float32", "bfloat16", "auto"]  # of the convolutions of a trained model

STRIDE = 8  # pixels of the input per position of the query map of the official encoder; see `Network.stride`
PAST_FRAMES = 4  # frames the prediction variant sees; the next one is its target


@dataclass(frozen=True)
class Published:
    """What the authors' code sets differently for the two variants."""

    memory_loss: float  # weight of compactness, and of separateness (eq. 7)
    psnr_share: float  # lambda of the score: of PSNR; the rest is the feature distance's
    gamma: float  # the memory is updated at test time only below this E_t (eq. 14)


PUBLISHED: dict[Variant, Published] = {
    "recon": Published(memory_loss=0.01, psnr_share=0.7, gamma=0.015),
    "pred": Published(memory_loss=0.1, psnr_share=0.6, gamma=0.01),
}


def past_frames(variant: Variant) -> int:
    """Frames before the target that a variant sees: 4 for prediction, 0 for reconstruction."""
    return PAST_FRAMES if variant == "pred" else 0


@dataclass
class ModelConfig:
    """The network. A model ignores the keys that it does not have (a plain autoencoder has no items).

    Args:
        name: one of ``mnad.model.build.MODELS``.
        variant: ``recon`` or ``pred``.
        width: channels of the first stage; official 64.
        items: number of memory items; official 10.
        item_dim: dimension of queries and items; official 512.
        temperature: divides the scores before every softmax of the memory; 1 is faithful.
        detach_attention: official True, paper False.
        update_normaliser: official ``all``, paper ``assigned``.
        reduction: of the memory losses; official ``mean``, paper ``sum``.
        encoder: ``official``, or ours ``local``: every 4 pixels, 12 pixels seen (:mod:`mnad.model.local`).
        query: ``unit``, L2 norm 1 (official), or ours ``standardised``: each channel at each position by its own mean
            and standard deviation over the training images.
        scope: ``shared``: every position reads the same ``items`` (official); ``position``: ours, each has its own.
        addressing: ``soft``: attention over all items (official); ``hard``: ours, the nearest item.
        sees: what the decoder rebuilds from: ``both``, query and read (official); ours: ``read`` alone, or ``query``
            alone, which makes the memory idle and the network an autoencoder.
        update: ``official`` (eq. 3 to 5), or ours ``ema``, running means of the queries that are nearest to an item.
    """

    name: str = "mnad"
    variant: Variant = "recon"
    width: int = 64
    items: int = 10
    item_dim: int = 512
    temperature: float = 1.0
    detach_attention: bool = True
    update_normaliser: UpdateNormaliser = "all"
    reduction: Reduction = "mean"
    encoder: EncoderKind = "official"
    query: Query = "unit"
    scope: Scope = "shared"
    addressing: Addressing = "soft"
    sees: Sees = "both"
    update: UpdateRule = "official"

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a number out of range."""
        for key in ("width", "items", "item_dim"):
            if getattr(self, key) < 1:
                raise UserError(f"model.{key}: expected at least 1, got {getattr(self, key)}")
        if not self.temperature > 0:
            raise UserError(f"model.temperature: expected a number above 0, got {self.temperature}")
        if self.encoder == "local" and self.variant == "pred":
            raise UserError("model.encoder: local has no maps for the skips of variant pred; expected official")
        if self.query == "standardised" and self.update == "official":
            raise UserError("model.update: official brings items to unit norm; expected ema for standardised queries")


@dataclass
class FeatureConfig(ModelConfig):
    """MNAD on the features of a frozen pretrained network (``mnad_features``), fitted in closed form.

    Args:
        strides: ``mnad_features``: pixels per position of the feature maps that are joined, of 4, 8, 16 and 32.
        item_scope: ``mnad_features``: ``position``: whitening and items of each position of the image, for parts that
            always lie in the same place. ``shared``: one whitening and one bank of items, for textures without
            fixed places. ``auto``: what finds more drawn defects on normals that were held back; never the test.
        align: ``mnad_features``: ``always``: a part before a plain background is brought to the middle, and turned to
            one angle if it lies at any (``mnad/model/pose.py``). ``auto``: where that makes the training images more
            alike; never where ``images.fit`` is ``letterbox``.
        bank: ``mnad_features``: items of a shared memory; one by position has ``items`` at each.
        ridge: ``mnad_features``: added to the diagonal of every covariance.
        channels: ``mnad_features``: of a map with more, a fixed random projection onto so many is kept.
        positions: ``mnad_features``: at most so many in the query map; of larger images, neighbours are averaged.
    """

    strides: list[int] = field(default_factory=lambda: [8, 16, 32])
    item_scope: PlaceScope = "auto"
    align: Align = "auto"
    bank: int = 2000
    ridge: float = 0.05
    channels: int = 112
    positions: int = 1600

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a number out of range."""
        super().__post_init__()
        for key in ("bank", "channels", "positions"):
            if getattr(self, key) < 1:
                raise UserError(f"model.{key}: expected at least 1, got {getattr(self, key)}")
        if not self.ridge > 0:
            raise UserError(f"model.ridge: expected a number above 0, got {self.ridge}")
