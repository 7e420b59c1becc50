"""MNAD on deep features: encode with a frozen network, whiten, read, decode; fitted in closed form.

What a surface looks like is known to a network that has seen a million photographs, so nothing here is trained by a
gradient. The four steps are MNAD's: queries are local features, each read from a memory of normal ones where it stands
(:mod:`mnad.model.places`), and the decoder rebuilds the features from what was read. Both terms of the paper (section
3.3) follow, in units of the normal spread at the place: the distance to the nearest item, and the error of the rebuilt
features (their Mahalanobis distance to the true ones, which is ``|z - read|^2``).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.config.network import Align, PlaceScope
from mnad.model.efficientnet import load_pretrained
from mnad.model.network import Network, Output
from mnad.model.places import PLACES, PlaceMemory
from mnad.model.pose import Pose, maps_turned, turned
from mnad.run import UserError
from mnad.run.checkpoint import tensors_digest

SMOOTHING = 4 / 224  # deviation of the blur of an anomaly map in shorter sides; PaDiM and PatchCore: 4 pixels of 224
COARSEST = 0.5  # weight of the coarsest stride in an anomaly map, the others have 1: it sees too far to point well
PIXELS = 16 * 224 * 224  # of the images that the network sees at once: what fits into a cache, and into 1 GB at 1024
PROJECTION_SEED = 0
TINY = 1e-6  # keeps the logarithms finite, in units of what is usual
SHORT_SIDE = 64  # pixels; smaller images are enlarged, or the maps would have few positions


def enlargement(size: Sequence[int]) -> int:
    """By how many times images of ``size`` (H, W) are enlarged before the network sees them."""
    return -(-SHORT_SIDE // min(size))


def full_size(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Map of the positions, B x H' x W' -> anomaly map B x H x W float32: bilinear, then a Gaussian blur."""
    from torchvision.transforms.v2.functional import gaussian_blur

    full = F.interpolate(values[:, None].float(), size, mode="bilinear", align_corners=False)
    sigma = SMOOTHING * min(size)
    kernel = min(2 * round(4 * sigma) + 1, 2 * min(size) - 1)
    for sides in ([kernel, 1], [1, kernel]) if kernel > 1 else ():  # along rows, then along columns
        full = gaussian_blur(full, sides, [sigma, sigma])
    return full[:, 0]


def smooth(values: Tensor) -> Tensor:
    """Mean over 3 x 3 positions (those outside do not count), B x H' x W'."""
    return F.avg_pool2d(values[:, None], 3, stride=1, padding=1, count_include_pad=False)[:, 0]


class FeatureMNAD(Network):
    """Memory of pretrained features; the arguments are those of :class:`mnad.config.FeatureConfig`.

    The frozen network is not part of the state: ``digest`` names its weights, and a checkpoint that was made with
    others is refused.

    Attributes:
        held_out: see :class:`mnad.model.network.Network`.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"distance", "features"})
    map_ceiling: ClassVar[float] = 3.0  # times what is usual
    scale: Tensor  # (2 + S) x P or x 1: mean terms (see `recall`) of normals that the memory has not seen
    digest: Tensor  # 32 bytes, SHA-256 of the frozen network's weights

    def __init__(
        self,
        items: int = 64,
        strides: Sequence[int] = (8, 16, 32),
        item_scope: PlaceScope = "auto",
        align: Align = "auto",
        bank: int = 2000,
        ridge: float = 0.05,
        channels: int = 112,
        positions: int = 1600,
    ) -> None:
        super().__init__()
        self.items, self.scope, self.align, self.bank, self.positions = items, item_scope, align, bank, positions
        self.strides = tuple(sorted(set(strides)))  # finest first
        frozen = load_pretrained()
        self._frozen = [frozen]  # in a list, so that neither state nor parameters hold it
        if not strides or not set(strides) <= set(frozen.channels):
            raise UserError(f"model.strides: expected some of {list(frozen.channels)}, got {list(strides)}")
        generator, self.widths = torch.Generator().manual_seed(PROJECTION_SEED), list[int]()
        for stride in self.strides:  # drawn from one seed, so not stored
            width = frozen.channels[stride]
            self.widths.append(min(width, channels))
            drawn = torch.randn(width, channels, generator=generator, device="cpu") / width**0.5
            self.register_buffer(f"projection{stride}", drawn if width > channels else None, persistent=False)
        self.dim = sum(self.widths)
        self.register_buffer("scale", torch.ones(self.terms, 1))
        named = bytes.fromhex(tensors_digest(frozen.state_dict()))
        self.register_buffer("digest", torch.tensor(list(named), dtype=torch.uint8))
        self.places = PlaceMemory(self.dim, ridge)
        self.pose = Pose()

    @property
    def terms(self) -> int:
        """2 + S, see :meth:`recall`."""
        return 2 + len(self.strides)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FeatureMNAD":
        """Move the frozen network with the rest."""
        self._frozen[0]._apply(fn)
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *others: object) -> None:
        """Refuse features of another network; take the shape of ``scale`` from the checkpoint."""
        named = state.get(f"{prefix}digest")
        if named is not None and not torch.equal(named.cpu(), self.digest.cpu()):
            found = bytes(self.digest.tolist()).hex()[:12]
            raise UserError(
                f"checkpoint: made with a frozen network of digest {bytes(named.tolist()).hex()[:12]}; expected the "
                f"weights of {self._frozen[0].package} that are installed here, {found}"
            )
        if f"{prefix}scale" in state:
            found_terms = len(state[f"{prefix}scale"])
            if found_terms != self.terms:
                raise UserError(
                    f"checkpoint: its scale has {found_terms} terms, of a revision before 2026-11-28; expected "
                    f"{self.terms}, train it anew"
                )
            self.scale = torch.ones_like(state[f"{prefix}scale"], device=self.scale.device)
            for name, value in Pose().state_dict(prefix=f"{prefix}pose.").items():  # of before 2026-11-28: off
                state.setdefault(name, value)
        super()._load_from_state_dict(state, prefix, *others)

    def frozen_parameters(self) -> Iterator[Tensor]:
        """See :class:`mnad.model.network.Network`."""
        return self._frozen[0].parameters()

    @property
    def banks(self) -> tuple[int, int]:
        """See :class:`mnad.model.network.Network`."""
        return self.places.places, self.places.items.shape[1]

    def configured_shapes(self) -> dict[str, tuple[int, ...]]:
        """See :class:`mnad.model.network.Network`; the rest follows the data."""
        return {"dim": (self.dim,), "digest": tuple(self.digest.shape)}

    def grid(self, finest: Sequence[int]) -> tuple[int, int]:
        """(H', W') of the query map, from that of the finest features: halved until at most ``positions`` are left."""
        height, width = finest
        while height * width > self.positions:
            height, width = -(-height // 2), -(-width // 2)
        return height, width

    def query_grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """See :class:`mnad.model.network.Network` and :meth:`grid`."""
        factor = enlargement(size)
        return self.grid([-(-side * factor // self.strides[0]) for side in size])

    def posed(self, maps: Tensor, pictures: Tensor) -> Tensor:
        """See :class:`mnad.model.network.Network` and :mod:`mnad.model.pose`."""
        return maps_turned(maps, self.pose.find(pictures)) if self.pose.kind else maps

    @torch.no_grad()
    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """B x 3 x H x W in [-1, 1] -> features B x D x H' x W': each stride's map is averaged over 3 x 3 positions
        (PatchCore's neighbourhood), brought to the query grid and joined over channels. Before that, parts are brought
        to the pose of the normals, where the fit found that to help (``theta`` of :meth:`mnad.model.pose.Pose.find`, if
        known), and images below ``SHORT_SIDE`` are enlarged by a whole number.
        """
        self.check_input(x)
        if self.pose.kind:
            x = turned(x, self.pose.find(x) if theta is None else theta)
        factor = enlargement(x.shape[2:])
        if factor > 1:
            x = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
        whole = []
        for part in x.split(max(1, PIXELS // (x.shape[2] * x.shape[3]))):
            maps = self._frozen[0].features(part.contiguous(memory_format=torch.channels_last), self.strides)
            size, joined = self.grid(maps[self.strides.index(min(self.strides))].shape[2:]), []
            for stride, features in zip(self.strides, maps, strict=True):
                projection = getattr(self, f"projection{stride}")
                if projection is not None:
                    features = torch.einsum("bchw,cd->bdhw", features, projection)
                features = F.avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=False)
                if features.shape[2] > size[0]:
                    features = F.adaptive_avg_pool2d(features, size)
                joined.append(F.interpolate(features, size, mode="bilinear", align_corners=False))
            whole.append(torch.cat(joined, dim=1).contiguous())
        return torch.cat(whole)

    def by_place(self, features: Tensor) -> Tensor:
        """B x D x H' x W' -> P x N x D, as the memory has its places: position by position, or all in one."""
        found = features.flatten(2).permute(2, 0, 1)  # H'W' x B x D
        return found.flatten(0, 1)[None] if self.places.places == 1 else found

    @torch.no_grad()
    def recall(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Whiten and read features, B x D x H' x W'.

        Returns:
            queries and what was read, H'W' x B x D; the nearest item of its place, H'W' x B int; and (2 + S) x H'W' x
            B, not divided by ``scale`` yet: squared distance to that item, squared error of what was read, and the
            part of each stride in that error, finest first. (The whitening is triangular, so the part of a stride is
            what the finer ones leave open.)
        """
        x = self.by_place(features)
        count, parts = len(x), []
        for first in range(0, count, PLACES):
            part = slice(first, first + PLACES)
            for rows in x[part].split(PLACES * 64, dim=1):  # a shared memory has one place with every row
                z = self.places.whiten(rows.to(self.places.mean), part)
                read, distance, nearest = self.places.read(z, part)
                error = (z - read).square()
                by_stride = [part_error.sum(dim=2) for part_error in error.split(self.widths, dim=2)]
                parts.append((z, read, nearest, distance, error.sum(dim=2), *by_stride))
        found = [torch.cat(values, dim=1 if count == 1 else 0) for values in zip(*parts, strict=True)]
        z, read, nearest, *terms = (values.reshape(-1, len(features), *values.shape[2:]) for values in found)
        return z, read, nearest, torch.stack(terms)

    def standardised(self, terms: Tensor, scale: Tensor, size: Sequence[int]) -> dict[str, Tensor]:
        """Terms (2 + S) x H'W' x B -> ``distance``, ``error``, ``detail``, B x H' x W', smoothed, in units of what is
        usual at the place. ``detail`` is the geometric mean of the strides' parts, the coarsest with the weight
        ``COARSEST``."""
        maps = [
            smooth((values / usual[:, None]).T.reshape(-1, *size)) for values, usual in zip(terms, scale, strict=True)
        ]
        distance, error, *by_stride = maps
        weights = [1.0] * (len(by_stride) - 1) + [COARSEST]
        logarithms = [w * values.clamp_min(TINY).log() for w, values in zip(weights, by_stride, strict=True)]
        detail = (torch.stack(logarithms).sum(dim=0) / sum(weights)).exp()
        return {"distance": distance, "error": error, "detail": detail}

    def forward(self, x: Tensor) -> Output:
        """B x 3 x H x W in [-1, 1] -> :class:`Output`, whose ``output`` are the rebuilt features B x D x H' x W'.

        Raises:
            UserError: images of another size than those it was fitted on.
        """
        theta = self.pose.find(x) if self.pose.kind else None
        features = self.encode(x, theta)
        size, places = tuple(features.shape[2:]), self.places.places
        if places not in (1, size[0] * size[1]):
            raise UserError(f"images: {size[0]} x {size[1]} positions; expected those of the fit, {places}")
        z, read, nearest, terms = self.recall(features)
        rebuilt = self.places.decode(read.reshape(places, -1, self.dim)).reshape(read.shape)
        bank = torch.arange(places, device=nearest.device)[:, None] * self.places.items.shape[1]
        z, read, rebuilt = (v.permute(1, 0, 2).reshape(len(x), *size, self.dim) for v in (z, read, rebuilt))
        out = Output(
            rebuilt.permute(0, 3, 1, 2),
            z,
            (),
            read,
            nearest=(nearest + bank).T.flatten(),
            **self.standardised(terms, self.scale, size),  # type: ignore[arg-type]
        )
        return out if theta is None else out.only(self.pose.inside(x, theta), x)

    def anomaly_map(self, target: Tensor, out: Output) -> Tensor:
        """Detail of each position, enlarged, blurred and turned back to how the part lies in the picture: B x H x W."""
        full = full_size(out.detail, target.shape[2:])  # type: ignore[arg-type]
        return maps_turned(full, self.pose.find(target), back=True) if self.pose.kind else full
