"""The memory of local features: where each query stands decides how it is whitened and what it is compared with.

At every place p of the query map the features x of N normal images have a mean m and a covariance C. With
``C + ridge * I = L L^T`` the query is ``z = L^-1 (x - m)``, and the items are those of the N queries that a greedy
k-centre choice keeps. One item alone is near a Gaussian (the Mahalanobis distance of PaDiM, eq. 2); all N are the
nearest neighbour at the place. A *shared* memory has one place for the whole image: one whitening, one bank of items,
for textures that look the same everywhere and nowhere twice.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SOFTNESS = 20.0  # of the attention: twice a deviation of 3 in whitened units, squared
NEIGHBOURHOOD = 5  # places in a row whose covariances stand in for a place's own while there are few images
PLACES = 112  # handled at once
CANDIDATES = 20_000  # queries from which a shared memory chooses its items


def k_centre(z: Tensor, count: int) -> Tensor:
    """Greedy k-centre choice at each place: P x N x D -> P x count indices of rows; the first is nearest to zero, each
    further one is the farthest from those before it (Gonzalez 1985; PatchCore's algorithm 1)."""
    places, rows = torch.arange(len(z)), []
    squares = z.square().sum(dim=2)  # P x N
    current, nearest = squares.argmin(dim=1), torch.full_like(squares, torch.inf)
    for _ in range(count):
        rows.append(current)
        centre = z[places, current]  # P x D
        to_centre = squares - 2 * (z @ centre[:, :, None])[:, :, 0] + centre.square().sum(dim=1, keepdim=True)
        nearest = torch.minimum(nearest, to_centre)
        nearest[places, current] = -torch.inf  # never twice, whatever the rounding
        current = nearest.argmax(dim=1)
    return torch.stack(rows, dim=1)


def own_share(images: int, dim: int) -> float:
    """How much a place's own covariance counts against the mean of its neighbours': all from twice as many images as
    dimensions on, proportionally less below."""
    return min(1.0, images / (2 * dim))


def covariance(x: Tensor) -> tuple[Tensor, Tensor]:
    """Means P x D and covariances P x D x D of P x N x D (N - 1 in the denominator; zero for one row)."""
    mean = x.mean(dim=1)
    centred = x - mean[:, None]
    return mean, centred.transpose(1, 2) @ centred / max(x.shape[1] - 1, 1)


class PlaceMemory(nn.Module):
    """Means, whitening and items of every place, as buffers that a checkpoint holds.

    Shapes follow the data: P places (1 for a shared memory), K items at each, D dimensions.

    Args:
        dim: D.
        ridge: added to the diagonal of every covariance.
    """

    mean: Tensor  # P x D
    packed: Tensor  # P x D (D + 1) / 2, lower triangle of the whitening L^-1, float16
    items: Tensor  # P x K x D, whitened
    whitening: Tensor  # P x D x D, unpacked

    def __init__(self, dim: int, ridge: float) -> None:
        super().__init__()
        self.dim, self.ridge = dim, ridge
        self.register_buffer("mean", torch.zeros(0, dim))
        self.register_buffer("packed", torch.zeros(0, dim * (dim + 1) // 2, dtype=torch.float16))
        self.register_buffer("items", torch.zeros(0, 0, dim, dtype=torch.float16))
        self.register_buffer("whitening", torch.zeros(0, dim, dim), persistent=False)

    @property
    def places(self) -> int:
        """P; 0 before :meth:`fit`."""
        return len(self.mean)

    def _pack(self, covariances: Tensor, first: int) -> None:
        """Whitening of the places from ``first`` on, rounded once to what the checkpoint keeps."""
        eye = torch.eye(self.dim, device=covariances.device)
        factor = torch.linalg.cholesky(covariances + self.ridge * eye)
        inverse = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
        rows, columns = torch.tril_indices(self.dim, self.dim)
        part = slice(first, first + len(covariances))
        self.packed[part] = inverse[:, rows, columns].half()
        self.whitening[part] = inverse.half().float().tril()

    def _unpack(self) -> None:
        rows, columns = torch.tril_indices(self.dim, self.dim)
        self.whitening = self.packed.new_zeros(self.places, self.dim, self.dim, dtype=torch.float32)
        self.whitening[:, rows, columns] = self.packed.float()

    @torch.no_grad()
    def fit(self, x: Tensor, grid: tuple[int, int], items: int) -> None:
        """Take everything from features of normal images.

        Args:
            x: P x N x D, any float type, place by place in (row, column) order; P = 1 shares one memory.
            grid: (H', W') of the places, which says who is whose neighbour.
            items: K; fewer where there are fewer rows.
        """
        places, count, device = len(x), x.shape[1], self.mean.device
        self.mean = torch.zeros(places, self.dim, device=device)
        self.packed = torch.zeros(places, self.packed.shape[1], dtype=torch.float16, device=device)
        self.whitening = torch.zeros(places, self.dim, self.dim, device=device)
        own = own_share(count, self.dim) if places > 1 else 1.0
        parts = [slice(first, first + PLACES) for first in range(0, places, PLACES)]
        kept = []
        for part in parts:
            self.mean[part], covariances = covariance(x[part].to(device).float())
            if own < 1:
                kept.append(covariances)
            else:
                self._pack(covariances, part.start)
        if kept:
            whole = torch.cat(kept)
            kept.clear()
            square = whole.view(1, *grid, -1).permute(0, 3, 1, 2)
            side = NEIGHBOURHOOD
            around = F.avg_pool2d(square, side, stride=1, padding=side // 2, count_include_pad=False)
            whole = whole.mul_(own).add_((1 - own) * around[0].flatten(1).T.reshape(whole.shape))
            for part in parts:
                self._pack(whole[part], part.start)
        self.items = torch.zeros(places, min(items, count), self.dim, dtype=torch.float16, device=device)
        for part in parts:
            z = self.whiten(x[part].to(device).float(), part)
            rows = k_centre(z, self.items.shape[1])
            self.items[part] = z.gather(1, rows[:, :, None].expand(-1, -1, self.dim)).half()

    def whiten(self, x: Tensor, part: slice = slice(None)) -> Tensor:
        """Features P x B x D of the places ``part`` -> queries of the same shape."""
        return (x - self.mean[part, None]) @ self.whitening[part].transpose(1, 2)

    def read(self, z: Tensor, part: slice = slice(None)) -> tuple[Tensor, Tensor, Tensor]:
        """Read the items of the places ``part`` for the queries ``z``, P x B x D.

        Returns:
            what was read, P x B x D: items weighted by a softmax of minus their squared distance over ``SOFTNESS``
            (eq. 1 and 2 of the paper, with a distance in place of the cosine); the squared distance to the nearest
            item, P x B; and which of the K items of its place that is, P x B int.
        """
        items = self.items[part].float()
        distance = items.square().sum(dim=2)[:, None] - 2 * z @ items.transpose(1, 2)
        distance = (distance + z.square().sum(dim=2, keepdim=True)).clamp_min(0)  # P x B x K
        return torch.softmax(-distance / SOFTNESS, dim=2) @ items, *distance.min(dim=2)

    def decode(self, read: Tensor, part: slice = slice(None)) -> Tensor:
        """The features that ``read`` (P x B x D) stands for: back through the whitening, ``m + L read``."""
        factor = self.whitening[part]
        solved = torch.linalg.solve_triangular(factor, read.transpose(1, 2), upper=False)
        return self.mean[part, None] + solved.transpose(1, 2)

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *others: object) -> None:
        """Take the shapes of the places from the checkpoint."""
        for name in ("mean", "packed", "items"):
            stored = state.get(f"{prefix}{name}")
            if stored is not None and stored.shape[-1] == getattr(self, name).shape[-1]:
                setattr(self, name, torch.zeros_like(stored, device=self.mean.device))
        super()._load_from_state_dict(state, prefix, *others)
        self._unpack()
