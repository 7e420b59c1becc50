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
ROUNDS = 5  # of averaging the silhouettes and turning them towards their average


def silhouette(x: Tensor) -> Tensor:
    """Where the part is: B x 3 x H x W -> B x 1 x H x W, 1 or 0. It differs from the median of the picture's frame."""
    height, width = x.shape[2:]
    edge = max(1, round(EDGE * min(height, width)))
    frame = torch.ones(height, width, dtype=torch.bool, device=x.device)
    frame[edge:-edge, edge:-edge] = False
    background = x[:, :, frame].median(dim=2).values
    difference = F.avg_pool2d((x - background[:, :, None, None]).abs().mean(dim=1, keepdim=True), 3, 1, 1)
    clearest = torch.from_numpy(np.quantile(difference.flatten(1).cpu().numpy(), 0.99, axis=1)).to(x)
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


def turned(x: Tensor, theta: Tensor) -> Tensor:
    """B x C x H x W as ``theta`` (:func:`axis`) shows it; what lies outside repeats the edge."""
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def turned_back(x: Tensor, theta: Tensor) -> Tensor:
    """What is seen as ``theta`` shows it, B x C x H x W, back in the coordinates of the pictures."""
    matrix = torch.linalg.inv(theta[:, :, :2])
    return turned(x, torch.cat([matrix, -matrix @ theta[:, :, 2:]], dim=2))


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

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kind", torch.tensor(0))
        self.register_buffer("reference", torch.zeros(SIDE, SIDE))

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
        seen = small(turned(part, theta))[:, 0]
        return torch.cat([theta[:, :, :2] * half_turns(seen, self.reference), theta[:, :, 2:]], dim=2)

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
        silhouettes = []
        for x in parts:
            part = silhouette(x)
            theta = axis(part)
            silhouettes.append(small(turned(part, theta))[:, 0])
            for copies, picture in zip(found, (x, turned(x, centred(theta)), turned(x, theta)), strict=True):
                copies.append(small(picture))
        seen, (plain, middle, along) = torch.cat(silhouettes), (torch.cat(copies) for copies in found)
        self.reference.copy_(seen[0])
        for _ in range(ROUNDS):
            other = half_turns(seen, self.reference) < 0
            self.reference.copy_(torch.where(other, seen.flip(1, 2), seen).mean(dim=0))
        along = torch.where(other[:, None], along.flip(2, 3), along)
        as_is, in_middle, in_line = (float(copies.var(dim=0).mean()) for copies in (plain, middle, along))
        kind, left = (2, in_line) if in_line < GAIN * in_middle else (1, in_middle)
        if not always and not left < GAIN * as_is:
            kind, left = 0, as_is
        self.kind.fill_(kind)
        return left / as_is if as_is > 0 else 1.0
