"""Parts that lie anyhow are brought to one place and one angle before anything looks at them (ours).

A memory by position knows what belongs where, and a part that is put down anyhow takes that from it. Before a plain
background the part itself tells how it lies: the middle and the principal axis of its silhouette (second central
moments; Hu 1962), and, of the two ways to lay it along that axis, the one that is nearer to the silhouettes of the
normal images.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

EDGE = 0.04  # of the shorter side: width of the frame of pixels that shows the background
SHARE = 0.4  # of the difference from the background that the clearest hundredth of the pixels has: the part
KINDS = ("as it is", "centred", "turned")
GAIN = 0.7  # a kind is taken where it lowers the variance of the normals at their pixels at least to this part of it
SIDE = 64  # pixels of the copies that say so, and of the reference
SOFT = 8  # pixels of the edge that are averaged to go on outside of it; stripes would look like nothing known
COMMON = 0.9  # of the normal images; where fewer reach, the memory does not know what belongs there
ROUNDS = 5  # of averaging the silhouettes and turning them towards their average


def silhouette(x: Tensor) -> Tensor:
    """Where the part is: B x 3 x H x W -> B x 1 x H x W, 1 or 0. It differs from the median of the picture's frame."""
    height, width = x.shape[2:]
    edge = max(1, round(EDGE * min(height, width)))
    frame = torch.ones(height, width, dtype=torch.bool, device=x.device)
    frame[edge:-edge, edge:-edge] = False
    background = x[:, :, frame].median(dim=2).values
    difference = F.avg_pool2d((x - background[:, :, None, None]).abs().mean(dim=1, keepdim=True), 3, 1, 1)
    some = difference[:, :, ::2, ::2].flatten(1).cpu().numpy()
    clearest = torch.from_numpy(np.quantile(some, 0.99, axis=1)).to(x)
    return (difference > SHARE * clearest[:, None, None, None]).to(x.dtype)


def axis(part: Tensor) -> Tensor:
    """How the parts of silhouettes lie: B x 1 x H x W -> B x 2 x 3, what ``affine_grid`` takes: from the coordinates of
    the turned picture to those of the picture, where the part's middle comes to the middle and its axis along the rows.
    """
    part = part[:, 0]
    height, width = part.shape[1:]
    rows = torch.arange(height, device=part.device) - (height - 1) / 2
    columns = torch.arange(width, device=part.device) - (width - 1) / 2
    mass = part.sum(dim=(1, 2)).clamp_min(1)
    row = (part.sum(dim=2) * rows).sum(dim=1) / mass
    column = (part.sum(dim=1) * columns).sum(dim=1) / mass
    down, right = rows - row[:, None], columns - column[:, None]  # B x H, B x W
    vertical = (part.sum(dim=2) * down.square()).sum(dim=1)
    horizontal = (part.sum(dim=1) * right.square()).sum(dim=1)
    mixed = torch.einsum("bhw,bh,bw->b", part, down, right)
    angle = 0.5 * torch.atan2(2 * mixed, horizontal - vertical)
    cosine, sine, stretch = angle.cos(), angle.sin(), height / width
    first = torch.stack([cosine, -sine * stretch, 2 * column / width], dim=1)
    second = torch.stack([sine / stretch, cosine, 2 * row / height], dim=1)
    return torch.stack([first, second], dim=1)


def grid(theta: Tensor, x: Tensor) -> Tensor:
    """Where each pixel of ``x`` (B x C x H x W) as ``theta`` (:func:`axis`) shows it comes from: B x H x W x 2, column
    and row in [-1, 1], beyond that outside the picture."""
    return F.affine_grid(theta, list(x.shape), align_corners=False)


def turned(x: Tensor, theta: Tensor) -> Tensor:
    """B x C x H x W as ``theta`` shows it (bicubic, since bilinear takes the noise out of all but the straight angles);
    what lies outside goes on from the edge, softly."""
    where = grid(theta, x)
    found = F.grid_sample(x, where, mode="bicubic", padding_mode="border", align_corners=False)
    blurred = F.avg_pool2d(x, SOFT, ceil_mode=True, count_include_pad=False)
    soft = F.grid_sample(blurred, where, padding_mode="border", align_corners=False)
    return torch.where(inside(where)[:, None], found, soft)


def inside(where: Tensor) -> Tensor:
    """Which pixels of :func:`grid` lie in the picture, B x H x W bool."""
    return (where.abs() <= 1).all(dim=3)


def maps_turned(maps: Tensor, theta: Tensor, back: bool = False) -> Tensor:
    """Maps of pictures, B x H x W, as ``theta`` shows them, or ``back`` from there; 0 outside."""
    if back:
        matrix = torch.linalg.inv(theta[:, :, :2])
        theta = torch.cat([matrix, -matrix @ theta[:, :, 2:]], dim=2)
    maps = maps[:, None]
    return F.grid_sample(maps, grid(theta, maps), padding_mode="zeros", align_corners=False)[:, 0]


def small(x: Tensor) -> Tensor:
    """B x C x H x W -> B x C x ``SIDE`` x ``SIDE``, means."""
    return F.adaptive_avg_pool2d(x, SIDE)


def centred(theta: Tensor) -> Tensor:
    """``theta`` of :func:`axis` without the turn: only the part's middle comes to the middle."""
    return torch.cat(
        [torch.eye(2, dtype=theta.dtype, device=theta.device).expand(len(theta), 2, 2), theta[:, :, 2:]], 2
    )


def half_turns(seen: Tensor, reference: Tensor) -> Tensor:
    """Whether silhouettes along the rows, B x SIDE x SIDE, are nearer to ``reference`` after half a turn: -1 where they
    are, else 1, B x 1 x 1."""
    gain = ((seen - seen.flip(1, 2)) * reference).sum(dim=(1, 2))
    return torch.where(gain < 0, -1.0, 1.0)[:, None, None]


class Pose(nn.Module):
    """The pose that the normal images have in common, and how far any picture of the part is away from it."""

    kind: Tensor  # int, of KINDS: what is undone
    reference: Tensor  # SIDE x SIDE, mean silhouette of the normal images
    shown: Tensor  # SIDE x SIDE, in that pose: the share of the normal images that reaches there

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kind", torch.tensor(0))
        self.register_buffer("reference", torch.zeros(SIDE, SIDE))
        self.register_buffer("shown", torch.ones(SIDE, SIDE))

    @property
    def name(self) -> str:
        """What is undone, of ``KINDS``."""
        return KINDS[int(self.kind)]

    def find(self, x: Tensor) -> Tensor:
        """Pictures B x 3 x H x W -> B x 2 x 3, see :func:`axis`."""
        part = silhouette(x)
        theta = axis(part)
        if self.name == "centred":
            return centred(theta)
        seen = maps_turned(small(part)[:, 0], theta)
        return torch.cat([theta[:, :, :2] * half_turns(seen, self.reference), theta[:, :, 2:]], dim=2)

    def inside(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Which pixels of pictures B x 3 x H x W can be judged in the pose of the normals, B x H x W bool: those that
        lie in the picture, where ``COMMON`` of the normals reach, too. ``theta`` is that of :meth:`find`, if known."""
        theta = self.find(x) if theta is None else theta
        common = F.interpolate(self.shown[None, None], x.shape[2:], mode="bilinear", align_corners=False)[0] >= COMMON
        return inside(grid(theta, x)) & common

    @torch.no_grad()
    def fit(self, parts: Iterable[Tensor], always: bool = False) -> float:
        """Take the reference from normal images, and undo from now on what makes them more alike: where the part lies,
        or that and how it is turned; nothing where neither brings their variance to ``GAIN`` of what it was.

        Args:
            parts: of the images, B x 3 x H x W each; none too small to have a frame.
            always: undo something in any case.

        Returns:
            variance of the images in that pose over that of the images as they are: mean over pixels, of small copies.
        """
        found: list[list[Tensor]] = [[], [], []]
        silhouettes, reached = [], []
        for x in parts:
            part = silhouette(x)
            theta = axis(part)
            silhouettes.append(maps_turned(small(part)[:, 0], theta))
            ways = centred(theta), theta
            reached.append(torch.stack([small(inside(grid(way, x))[:, None].to(x.dtype)) for way in ways]))
            for copies, picture in zip(found, (x, *(turned(x, way) for way in ways)), strict=True):
                copies.append(small(picture))
        seen, (plain, middle, along) = torch.cat(silhouettes), (torch.cat(copies) for copies in found)
        self.reference.copy_(seen[0])
        for _ in range(ROUNDS):
            other = half_turns(seen, self.reference) < 0
            self.reference.copy_(torch.where(other, seen.flip(1, 2), seen).mean(dim=0))
        along = torch.where(other[:, None], along.flip(2, 3), along)
        as_is, in_middle, in_line = (float(copies.var(dim=0, correction=0).mean()) for copies in (plain, middle, along))
        kind, left = (2, in_line) if in_line < GAIN * in_middle else (1, in_middle)
        if not always and not left < GAIN * as_is:
            kind, left = 0, as_is
        middle_reached, along_reached = torch.cat(reached, dim=1)[:, :, 0]
        along_reached = torch.where(other, along_reached.flip(1, 2), along_reached)
        self.shown.copy_((along_reached if kind == 2 else middle_reached).mean(dim=0))
        self.kind.fill_(kind)
        return left / as_is if as_is > 0 else 1.0
