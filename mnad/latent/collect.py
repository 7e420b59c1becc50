"""One pass of a detector over the sampled images: what its latent space holds.

Two levels are kept. ``images``: the queries of an image averaged over its positions and brought back to unit
norm. ``positions``: single queries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.data.source import batches
from mnad.detector import Detector
from mnad.latent.bank import NORMAL, TRAIN, Bank
from mnad.latent.sources import GROUPS, ImageSet
from mnad.run import UserError

PANELS = ("image", "reconstruction", "error")  # of a thumbnail
THUMBNAIL = 96  # pixels, the longer side of a larger image in the page


@dataclass
class Level:
    """Points of the latent space and what each of them is.

    Attributes:
        queries: N x C float32, unit norm.
        table: N rows: ``image`` (row of the sample), the columns of :class:`mnad.latent.sources.ImageSet`,
            ``score`` (primary score of the image), ``error`` (mean squared error, on [0, 1] images, of the image or
            of the position's patch); with a memory ``item`` (the nearest) and ``distance`` (1 - cosine to it); for
            positions ``row`` and ``column``.
        reads: N x C, unit norm, what the memory answers; None without a memory.
        maps: method -> part (``queries``, ``reads``, ``items``) -> n x 2.
    """

    queries: np.ndarray
    table: pd.DataFrame
    reads: np.ndarray | None = None
    maps: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


@dataclass
class Latent:
    """Everything the figures, the page and the numbers need from one model.

    Attributes:
        model: its name.
        levels: ``images`` and ``positions``.
        strips: for each sampled image a JPEG, its ``panels`` side by side.
        grid: (H', W') of the query map.
        items: M x C, unit norm; None without a memory, or where each position has its own.
        bank: what the items of a memory stand for; None without a memory.
        size: (height, width) of the images.
        panels: what a strip shows, from left to right; features that are rebuilt cannot be shown.
        counts: M, how many queries of the sampled images have each item as their nearest.
        attention: group -> M x H' x W', mean attention; groups that have images.
    """

    model: str
    levels: dict[str, Level]
    strips: list[bytes]
    grid: tuple[int, int]
    items: np.ndarray | None = None
    counts: np.ndarray | None = None
    attention: dict[str, np.ndarray] = field(default_factory=dict)
    bank: Bank | None = None
    size: tuple[int, int] = (0, 0)
    panels: tuple[str, ...] = PANELS


def to_uint8(x: Tensor) -> np.ndarray:
    """B x 3 x H x W in [-1, 1] -> B x H x W x 3 uint8."""
    return x.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def strip(pictures: Sequence[np.ndarray], error: np.ndarray, ceiling: float) -> bytes:
    """JPEG of ``pictures`` (H x W x 3 uint8 RGB) and the error map (H x W, ``ceiling`` is brightest) side by side."""
    heat = np.clip(error / ceiling * 255, 0, 255).astype(np.uint8)
    heat = cv2.applyColorMap(heat, cv2.COLORMAP_CIVIDIS)
    joined = np.hstack([*(picture[..., ::-1] for picture in pictures), heat])
    scale = THUMBNAIL / max(error.shape)
    if scale < 1:
        joined = cv2.resize(joined, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", joined, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def nearest(vectors: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest item of each unit vector and 1 - cosine to it."""
    cosine = vectors @ items.T
    return cosine.argmax(axis=1), 1 - cosine.max(axis=1)


@torch.inference_mode()
def collect(
    detector: Detector, data: ImageSet, images: np.ndarray, positions: np.ndarray, batch_size: int = 64
) -> Latent:
    """Run ``detector`` over the images at ``images``.

    Args:
        images: N indices into ``data``.
        positions: sorted indices into the N * H' * W' queries of these images, in (image, row, column) order.

    Raises:
        UserError: a model whose latent map is not finite or the same everywhere.
    """
    height, width = detector.model.query_grid(detector.config.images.size)
    cells, name = height * width, detector.config.model.name
    memory, banks = detector.model.memory, detector.model.banks
    if memory is not None and memory.groups > 1:  # hundreds of items, each of which one position alone can read
        memory = None
    items = None if memory is None else F.normalize(memory.items, dim=1).cpu().numpy()
    groups = data.table["group"].to_numpy()[images]
    group_codes = torch.from_numpy(np.array([GROUPS.index(g) for g in groups]))
    kept: dict[str, list[np.ndarray]] = {
        key: [] for key in ("query", "read", "pooled_query", "pooled_read", "error", "patch", "nearest", "distance")
    }
    raw: list[np.ndarray] = []
    strips: list[bytes] = []
    rebuilds = "image" in detector.model.gives
    ceiling = None
    counts = np.zeros(0 if items is None else len(items), dtype=np.int64)
    attention = np.zeros((len(GROUPS), len(counts), height, width))
    start = 0
    for x, target in batches(data.source, batch_size, images, detector.device, f"queries of {name}"):
        part = slice(start, start + len(x))
        target, out, terms = detector.measure(x, target)
        if tuple(out.queries.shape[1:3]) != (height, width):
            raise UserError(
                f"{name}: query map of {tuple(out.queries.shape[1:3])} positions; expected {(height, width)}, as "
                "images.height and images.width give them"
            )
        raw.append(terms[detector.primary].cpu().numpy())
        error = detector.model.anomaly_map(target, out)  # B x H x W
        here = positions[np.searchsorted(positions, start * cells) : np.searchsorted(positions, part.stop * cells)]
        chosen = torch.from_numpy(here - start * cells).to(detector.device)
        kept["error"].append(error.flatten(1).mean(dim=1).cpu().numpy())
        by_query = F.adaptive_avg_pool2d(detector.model.posed(error, target)[:, None], (height, width))
        kept["patch"].append(by_query.flatten()[chosen].cpu().numpy())
        for key, vectors in (("query", out.queries), ("read", out.read)):
            if vectors is not None and (key == "query" or items is not None):
                kept[key].append(F.normalize(vectors.flatten(0, 2)[chosen], dim=1).cpu().numpy())
                kept[f"pooled_{key}"].append(F.normalize(vectors.flatten(1, 2).mean(dim=1), dim=1).cpu().numpy())
        if banks is not None:
            kept["nearest"].append(out.nearest.view(len(x), -1).cpu().numpy())
            kept["distance"].append(out.distance.flatten(1).cpu().numpy())
        if items is not None:
            counts += np.bincount(out.nearest.cpu().numpy(), minlength=len(counts))
            weights = out.attention.view(-1, height, width, len(counts)).permute(0, 3, 1, 2).double().cpu()
            for code in range(len(GROUPS)):
                attention[code] += weights[group_codes[part] == code].sum(dim=0).numpy()
        errors = error.cpu().numpy()
        ceiling = ceiling or max(float(np.quantile(errors, 0.995)), 1e-6)
        start = part.stop
        shown = [to_uint8(picture) for picture in ((target, out.output) if rebuilds else (target,))]
        strips += [strip(pictures, e, ceiling) for *pictures, e in zip(*shown, errors, strict=True)]
    arrays = {key: np.concatenate(values) for key, values in kept.items() if values}
    check_spread(arrays["query"], name)
    columns = [c for c in ("file", "set", "label", "group", "kind", "video", "frame") if c in data.table]
    table = data.table.iloc[images][columns].reset_index(drop=True)
    table.insert(0, "image", np.arange(len(images)))
    table["score"] = detector.combine({detector.primary: np.concatenate(raw)})[detector.primary]
    cell = positions % cells
    by_position = table.iloc[positions // cells].reset_index(drop=True)
    by_position = by_position.assign(row=cell // width, column=cell % width, error=arrays["patch"])
    levels = {
        "images": Level(arrays["pooled_query"], table.assign(error=arrays["error"]), arrays.get("pooled_read")),
        "positions": Level(arrays["query"], by_position, arrays.get("read")),
    }
    latent = Latent(name, levels, strips, (height, width), size=detector.config.images.size)
    if banks is not None:
        measure = TRAIN if rebuilds else NORMAL  # items of features are training queries
        latent.bank = Bank.of(banks, arrays["nearest"], arrays["distance"], measure)
    if items is not None:
        for level in levels.values():
            level.table["item"], level.table["distance"] = nearest(level.queries, items)
        latent.items, latent.counts = items, counts
        sizes = [(groups == group).sum() for group in GROUPS]
        latent.attention = {g: a / n for g, a, n in zip(GROUPS, attention, sizes, strict=True) if n}
    latent.panels = PANELS if rebuilds else (PANELS[0], PANELS[-1])
    return latent


def check_spread(queries: np.ndarray, name: str) -> None:
    """Raise ``UserError`` when there is nothing to map: numbers that are not finite, or equal queries."""
    if not np.isfinite(queries).all():
        raise UserError(f"{name}: queries that are not finite; expected a trained model")
    if np.ptp(queries, axis=0).max() < 1e-6:
        raise UserError(f"{name}: all {len(queries)} sampled queries are equal; expected a trained model")
