"""Parts that lie at any angle are turned to one angle before anything looks at them (ours).

A memory by position knows what belongs where, and a part that is put down anyhow takes that from it. Before a plain
background the part itself tells how it lies: the principal axis of its silhouette (second central moments; Hu 1962),
and, of the two ways to lay it along that axis, the one that is nearer to the silhouettes of the normal images.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

EDGE = 0.04  # of the shorter side: width of the frame of pixels that shows the background
SHARE = 0.4  # of the difference from the background that the clearest hundredth of the pixels has: the part
GAIN = 0.7  # turning is taken where it lowers the variance of the normals at their pixels at least to this part of it
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


class Pose(nn.Module):
    """The pose that the normal images have in common, and how far any picture of the part is turned away from it."""

    on: Tensor  # bool; whether pictures are turned
    reference: Tensor  # SIDE x SIDE, mean silhouette of the normal images

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("on", torch.tensor(False))
        self.register_buffer("reference", torch.zeros(SIDE, SIDE))

    def find(self, x: Tensor) -> Tensor:
        """Pictures B x 3 x H x W -> B x 2 x 3, see :func:`axis`."""
        part = silhouette(x)
        theta = axis(part)
        seen = small(turned(part, theta))[:, 0]
        other = ((seen - seen.flip(1, 2)) * self.reference).sum(dim=(1, 2)) < 0
        half_a_turn = torch.where(other, -1.0, 1.0)[:, None, None]
        return torch.cat([theta[:, :, :2] * half_a_turn, theta[:, :, 2:]], dim=2)

    @torch.no_grad()
    def fit(self, parts: Iterable[Tensor], always: bool = False) -> float:
        """Take the reference from normal images; turn from now on if that makes them more alike, or ``always``.

        Args:
            parts: of the images, B x 3 x H x W each; none too small to have a frame.

        Returns:
            variance of the turned images over that of the images as they are: mean over pixels, of small copies.
        """
        plain, turned_ones, silhouettes = [], [], []
        for x in parts:
            part = silhouette(x)
            theta = axis(part)
            silhouettes.append(small(turned(part, theta))[:, 0])
            plain.append(small(x))
            turned_ones.append(small(turned(x, theta)))
        seen, pictures = torch.cat(silhouettes), torch.cat(turned_ones)
        self.reference.copy_(seen[0])
        for _ in range(ROUNDS):
            other = ((seen - seen.flip(1, 2)) * self.reference).sum(dim=(1, 2)) < 0
            self.reference.copy_(torch.where(other[:, None, None], seen.flip(1, 2), seen).mean(dim=0))
        pictures = torch.where(other[:, None, None, None], pictures.flip(2, 3), pictures)
        before, after = (float(found.var(dim=0).mean()) for found in (torch.cat(plain), pictures))
        ratio = after / before if before > 0 else 1.0
        self.on.fill_(always or ratio < GAIN)
        return ratio
