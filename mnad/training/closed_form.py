"""Fitting MNAD on features: one pass over the images, no gradient; few images are cross-fitted.

- From ``FEW`` normals on, the training images make the memory, and the validation images its scale, unseen by it.
- With fewer, all normals make the memory. What an unseen normal looks like is told by ``FOLDS`` further fits, each
  without a part of the images: every normal is scored by a memory that has not seen it, and so the threshold rests on
  all of them and not on a handful.

The scope of the memory (by position, or shared) is chosen on the same unseen normals with drawn defects
(:mod:`mnad.data.defects`).
"""

import time

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mnad.data.defects import with_defect
from mnad.data.images import content, to_input
from mnad.data.source import Source, index_batches
from mnad.model.feature_mnad import FeatureMNAD
from mnad.model.network import Output
from mnad.model.places import CANDIDATES
from mnad.run import UserError
from mnad.scoring.metrics import auroc
from mnad.scoring.terms import PeakDistance, top_mean

FEW = 200  # normals below which they are cross-fitted
FOLDS = 5
BUDGET = 2e9  # bytes of features to keep (float16); a random choice of the images where there are more
POSES = 200  # training images on which to try whether a common pose helps
PRIOR = 10  # images that the mean over all positions counts as, in the scale of each position


def images_of(source: Source, indices: np.ndarray) -> np.ndarray:
    """N x H x W x 3 uint8 of a source of photographs."""
    return source.inputs(indices)[0].add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).numpy()


@torch.no_grad()
def encode(model: FeatureMNAD, source: Source, indices: np.ndarray, name: str, defects: int | None = None) -> Tensor:
    """Features H'W' x N x D float16 of the images at ``indices``, on the CPU.

    Args:
        defects: seed of the defects to draw onto the images; None for none.
    """
    parts = []
    bar = tqdm(total=len(indices), desc=name, leave=False, mininterval=1)
    for part in index_batches(indices, 32):
        if defects is None:
            x = source.inputs(part)[0]
        else:
            drawn = [with_defect(im, defects, int(i)) for i, im in zip(part, images_of(source, part), strict=True)]
            x = to_input(np.stack(drawn))
        parts.append(model.encode(x.to(model.scale.device)).half().cpu())
        bar.update(len(part))
    bar.close()
    joined = torch.cat(parts)
    return joined.flatten(2).permute(2, 0, 1).contiguous()


def fit_pose(model: FeatureMNAD, source: Source, seed: int, letterbox: bool) -> float | None:
    """Choose what is undone of how parts lie (:meth:`mnad.model.pose.Pose.fit`), on some of the training images.
    Returns what is left of their variance; None where nothing was tried.

    Raises:
        UserError: letterboxed images that are to be turned.
    """
    if letterbox and model.align == "always":
        raise UserError("model.align: 'always' with images.fit letterbox; expected images.fit resize")
    if letterbox or model.align == "never":
        return None
    rows = np.sort(np.random.default_rng(seed).permutation(len(source))[:POSES])
    parts = (source.inputs(part)[0].to(model.scale.device) for part in index_batches(rows, 32))
    return model.pose.fit(parts, always=model.align == "always")


def fit_memory(model: FeatureMNAD, x: Tensor, grid: tuple[int, int], scope: str, seed: int) -> None:
    """Fit the memory of ``scope`` to features H'W' x N x D."""
    if scope == "position":
        model.places.fit(x, grid, model.items)
        return
    flat = x.flatten(0, 1)
    if len(flat) > CANDIDATES:
        flat = flat[torch.randperm(len(flat), generator=torch.Generator().manual_seed(seed))[:CANDIDATES]]
    model.places.fit(flat[None], (1, 1), model.bank)


def unseen(model: FeatureMNAD, x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Terms of features H'W' x N x D that the memory has not seen: (2 + S) x H'W' x N, without any
    scale."""
    found = []
    for part in x.split(64, dim=1):
        features = part.permute(1, 2, 0).reshape(part.shape[1], -1, *grid)
        found.append(model.recall(features)[-1].cpu())
    return torch.cat(found, dim=2)


def usual(values: Tensor, scope: str) -> Tensor:
    """The scale: mean over unseen normals, (2 + S) x H'W' x N -> (2 + S) x H'W' (x 1 for a shared memory), each
    position's drawn towards that of all as if ``PRIOR`` images more had shown the latter; of the strides' parts, half
    way."""
    everywhere = values.mean(dim=(1, 2))[:, None]
    if scope == "shared":
        return everywhere
    count = values.shape[2]
    scale = (values.sum(dim=2) + PRIOR * everywhere) / (count + PRIOR)
    scale[2:] = (values[2:].mean(dim=2) + everywhere[2:]) / 2
    return scale


def standardised(model: FeatureMNAD, values: Tensor, scale: Tensor, grid: tuple[int, int]) -> Output:
    """What the terms of a score read, from (2 + S) x H'W' x N."""
    blank = values.new_zeros(values.shape[2], 0)
    return Output(blank, blank, (), **model.standardised(values, scale, grid))  # type: ignore[arg-type]


def folds(train: int, validation: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(fitted on, unseen) over the normals numbered training first: one pair, or ``FOLDS`` where there are few."""
    count = train + validation
    if count >= FEW:
        return [(np.arange(train), np.arange(train, count))]
    order = np.random.default_rng(seed).permutation(count)
    held = np.array_split(order, min(FOLDS, count))
    return [(np.setdiff1d(order, part), np.sort(part)) for part in held]


@torch.no_grad()
def fit(model: FeatureMNAD, source: Source, validation: Source, seed: int) -> dict[str, object]:
    """Fit ``model`` in place.

    Returns:
        what was done: ``images`` (fitted on), ``folds``, ``scope``, ``items`` (at each place), ``positions`` (H', W'),
        ``pose`` and ``variance_left`` (:func:`fit_pose`) and, where the scope was chosen, ``defects_auroc`` of each.

    Raises:
        UserError: images of which no two positions differ.
    """
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    letterbox = getattr(source, "fit", "resize") == "letterbox"
    variance_left = fit_pose(model, source, seed, letterbox)
    first = model.encode(source.inputs(np.arange(1))[0].to(model.scale.device))
    grid = tuple(first.shape[2:])
    most = max(2, int(BUDGET / (first.numel() * 2)))
    rows = np.sort(rng.permutation(len(source))[:most])
    pairs = folds(len(rows), len(validation), seed)
    x = [encode(model, source, rows, "features"), encode(model, validation, np.arange(len(validation)), "features")]
    x = torch.cat(x, dim=1)  # type: ignore[assignment]
    if not torch.isfinite(x).all() or bool((x == x[:1, :1]).all()):  # type: ignore[arg-type, call-overload]
        raise UserError("training images: the frozen network sees the same everywhere; expected images with contents")
    scopes = ["position", "shared"] if model.scope == "auto" else [model.scope]
    drawn = None
    if len(scopes) > 1:
        held = np.arange(len(validation))
        drawn = encode(model, validation, held, "drawn defects", defects=seed)
        if len(pairs) > 1:
            drawn = torch.cat([encode(model, source, rows, "drawn defects", defects=seed), drawn], dim=1)
    quality: dict[str, float] = {}
    best = None
    for scope in scopes:
        normal = torch.zeros(model.terms, len(x), x.shape[1])  # type: ignore[attr-defined]
        wrong = torch.zeros_like(normal)
        for seen, held in pairs:
            fit_memory(model, x[:, seen], grid, scope, seed)  # type: ignore[arg-type, call-overload]
            normal[:, :, held] = unseen(model, x[:, held], grid)  # type: ignore[arg-type, call-overload]
            if drawn is not None:
                shown = drawn if len(pairs) == 1 else drawn[:, held]
                wrong[:, :, held] = unseen(model, shown, grid)  # type: ignore[arg-type]
        held = np.concatenate([part for _, part in pairs])
        scale = usual(normal[:, :, held], scope)
        if drawn is not None:
            share = PeakDistance().share
            scores = [
                top_mean(standardised(model, values[:, :, held], scale, grid).distance, share).numpy()  # type: ignore[arg-type]
                for values in (normal, wrong)
            ]
            quality[scope] = auroc(np.repeat([0, 1], len(held)), np.concatenate(scores))
        if best is None or quality[scope] > quality[best[0]]:
            best = scope, scale, normal[:, :, held], {k: v.clone() for k, v in model.places.state_dict().items()}
    scope, scale, normal, state = best
    if len(pairs) > 1:
        fit_memory(model, x, grid, scope, seed)  # type: ignore[arg-type]
        model.held_out = standardised(model, normal, scale, grid)  # type: ignore[arg-type]
        if letterbox or model.pose.kind:
            pixels = images_of(source, rows), images_of(validation, np.arange(len(validation)))
            where = content if letterbox else model.pose.inside
            parts = to_input(np.concatenate(pixels)[held]).split(64)
            inside = torch.cat([where(part.to(model.scale.device)).cpu() for part in parts])
            model.held_out = model.held_out.only(inside, inside[:, None])
    elif scope != scopes[-1]:
        model.places.load_state_dict(state)
    model.scale = scale.to(model.scale.device)
    return {
        "images": x.shape[1] if len(pairs) > 1 else len(rows),  # type: ignore[attr-defined]
        "of": len(source) + (len(validation) if len(pairs) > 1 else 0),
        "folds": len(pairs),
        "scope": scope,
        "items": model.places.items.shape[1],
        "positions": list(grid),
        "pose": model.pose.name,
        "variance_left": variance_left,
        "defects_auroc": quality or None,
        "seconds": time.perf_counter() - started,
    }


def fit_line(record: dict) -> str:
    """What :func:`fit` did, in one line."""
    height, width = record["positions"]
    kind = f"at each of {height} x {width} positions" if record["scope"] == "position" else "for the whole image"
    line = f"memory of {record['items']} items {kind}, from {record['images']} of {record['of']} normals"
    if record["pose"] != "as it is":
        line += f", all parts {record['pose']} first ({record['variance_left']:.0%} of the images' variance is left)"
    if record["folds"] > 1:
        line += f", cross-fitted in {record['folds']} parts"
    if record["defects_auroc"]:
        found = ", ".join(f"{scope} {value:.3f}" for scope, value in record["defects_auroc"].items())
        line += f"; scope {record['scope']}, chosen by AUROC of drawn defects on unseen normals: {found}"
    return line
