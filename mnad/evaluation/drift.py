"""What two hundred recent, unlabelled images are good for: moving the threshold, and telling that something changed."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from mnad.config import ThresholdConfig
from mnad.data.changes import Change
from mnad.data.images import Images
from mnad.detector import Detector
from mnad.run import UserError
from mnad.scoring.drift import Reference, watch
from mnad.scoring.threshold import FEWEST_RECENT, moved_threshold

WINDOW = 200  # images within which a gauge is asked to fire


def check_recent(count: int, images: int) -> None:
    """Raises ``UserError`` unless ``count`` of the ``images`` of a test can be drawn and as many are left to judge."""
    if not FEWEST_RECENT <= count <= images // 2:
        limits = f"from {FEWEST_RECENT} to half of the {images} test images"
        raise UserError(f"recent: {count}; expected a number {limits}, or 0 for none")


def share(values: np.ndarray) -> float:
    """Mean of booleans; NaN of none."""
    return float(values.mean()) if len(values) else float("nan")


def after_recent(
    scores: np.ndarray, labels: np.ndarray, old: float, count: int, draws: int = 100, seed: int = 0
) -> dict[str, float]:
    """TPR and TNR after the threshold ``old`` was moved by ``count`` recent images drawn from the test, anomalies at
    their rarity among them and without their labels; of all other images.

    Returns:
        ``recent_tpr`` and ``recent_tnr``, means over ``draws``, and each with ``_low`` the 5 % quantile over them.
    """
    rng, rates = np.random.default_rng([seed, count]), []
    for _ in range(draws):
        order = rng.permutation(len(scores))
        moved = moved_threshold(ThresholdConfig(rule="recent"), old, scores[order[:count]]).value
        rest, kinds = scores[order[count:]] >= moved, labels[order[count:]]
        rates.append((share(rest[kinds == 1]), share(~rest[kinds == 0])))
    found: dict[str, float] = {}
    for name, values in zip(("recent_tpr", "recent_tnr"), np.array(rates).T, strict=True):
        found |= {name: float(np.nanmean(values)), f"{name}_low": float(np.nanquantile(values, 0.05))}
    return found


def alarms(
    detector: Detector, sets: Iterable[tuple[Change, Images]], labels: np.ndarray, draws: int = 10, seed: int = 0
) -> pd.DataFrame:
    """How soon a gauge of drift tells each change: its reference are 200 unchanged normals, then come other normals in
    random order, changed from the first on.

    Args:
        sets: the unchanged images first (ten times as many shuffles, each of all other normals).
        labels: of the images of every set, 1 = anomalous.

    Returns:
        a row for each set: ``change``; ``shuffles``; ``fired``, how many of them at all for the unchanged images, and
        within 200 images for changed ones; ``median`` and ``largest`` number of images until then (NaN: none fired);
        ``by``, the value that most often had the most evidence.
    """
    normal = np.flatnonzero(labels == 0)
    rng, rows, reference, kept = np.random.default_rng(seed), [], None, normal
    for change, images in sets:
        if reference is None:
            order = rng.permutation(len(normal))
            kept = normal[order[WINDOW:]]
            values = detector.statistics(images.subset(normal[order[:WINDOW]]))
            reference = Reference(values, detector.statistics_names)
        values = detector.statistics(images.subset(kept))
        unchanged = not change.steps
        found: list[Any] = []
        for number in tqdm(range(10 * draws if unchanged else draws), f"gauge, {change}", leave=False):
            stream = values[rng.permutation(len(values))][: None if unchanged else WINDOW]
            found.append(watch(reference, stream, seed=number))
        firsts = [first for _, first in found if first]
        leading = pd.Series([state.leading for state, first in found if first], dtype=str).mode()
        rows.append(
            {
                "change": str(change),
                "shuffles": len(found),
                "fired": len(firsts),
                "median": float(np.median(firsts)) if firsts else np.nan,
                "largest": max(firsts, default=np.nan),
                "by": leading.iloc[0] if len(leading) else "",
            }
        )
    return pd.DataFrame(rows)
