"""How a verdict holds when light and camera change: the metrics of a detector under named, graded changes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mnad.data.changes import KINDS, PAIRS, Change, changed
from mnad.data.images import Images
from mnad.evaluation.drift import after_recent
from mnad.evaluation.judge import Scorer
from mnad.report.plotting import ANOMALOUS, FORMATS, NORMAL, PALETTE, TWO_COLUMNS, save_figure, style
from mnad.run import UserError
from mnad.scoring.metrics import judge
from mnad.scoring.threshold import Threshold

DEMAND = 0.95  # of TPR and TNR, drawn in the figure
RATES = ("tpr", "tnr", "auroc")


def table_changes(names: Sequence[str] | None = None, pairs: bool = True) -> list[Change]:
    """The changes of the table, no change first.

    Args:
        names: kinds (all strengths of :data:`mnad.data.changes.KINDS`) or whole changes such as ``blur=1.5``; None is
            every kind but ``grey``, which a detector may refuse.
        pairs: also those of :data:`mnad.data.changes.PAIRS`, where ``names`` is None.

    Raises:
        UserError: see :meth:`mnad.data.changes.Change.parse`; no name.
    """
    if names is not None and not names:
        raise UserError("changes: none; expected at least one")
    texts = []
    for name in [kind for kind in KINDS if kind != "grey"] if names is None else names:
        texts += [f"{name}={s}" for s in KINDS[name].strengths] if name in KINDS else [name]
    if names is None and pairs:
        texts += PAIRS
    found = [Change(), *(Change.parse(text) for text in texts)]
    return list(dict.fromkeys(found))


def changed_sets(images: Images, changes: Iterable[Change], seed: int = 0) -> Iterator[tuple[Change, Images]]:
    """``images`` under each of ``changes``, one set at a time."""
    for change in changes:
        yield change, changed(images, change, seed) if change.steps else images


def judge_change(
    change: Change,
    scores: Mapping[str, np.ndarray],
    labels: np.ndarray,
    thresholds: Mapping[str, Threshold],
    recent: int = 0,
) -> list[dict[str, object]]:
    """One row for each score: ``change``; ``kind`` and ``strength`` of a single step (empty and NaN otherwise);
    ``score``; ``tpr``, ``tnr`` and ``auroc``, each with ``_low`` and ``_high`` of its 95 % interval; with ``recent``
    images to move the threshold by also what :func:`mnad.evaluation.drift.after_recent` gives."""
    kind, strength = change.steps[0] if len(change.steps) == 1 else ("", np.nan)
    rows = []
    for name, values in scores.items():
        metrics = judge(values, labels, thresholds[name].value)
        row: dict[str, object] = {"change": str(change), "kind": kind, "strength": strength, "score": name}
        for rate in RATES:
            interval: Any = metrics[f"{rate}_ci95"] or (np.nan, np.nan)
            value = np.nan if metrics[rate] is None else metrics[rate]
            row |= {rate: value, f"{rate}_low": interval[0], f"{rate}_high": interval[1]}
        if recent:
            row |= after_recent(values, labels, thresholds[name].value, recent)
        rows.append(row)
    return rows


def robustness(
    scorer: Scorer, sets: Iterable[tuple[Change, Images]], labels: np.ndarray, recent: int = 0
) -> pd.DataFrame:
    """Rows of :func:`judge_change` for every score of ``scorer`` and each of ``sets``.

    Args:
        labels: of the images of every set, 1 = anomalous.
        recent: images by which the threshold is moved before the others are judged once more; 0 for none.
    """
    rows = []
    for change, images in sets:
        rows += judge_change(change, scorer.score_all(images, str(change)), labels, scorer.thresholds, recent)
    return pd.DataFrame(rows)


def summary(frame: pd.DataFrame) -> dict[str, object]:
    """Of the rows of one score: ``clean``, ``mean`` over the changes and ``worst`` of the smaller one of TPR and TNR,
    ``worst_change``; the lowest TPR and TNR each with its change; ``recent_lowest_tpr`` and ``recent_lowest_tnr``
    after recent images moved the threshold, where the rows have it. None for what the rows do not have.

    Raises:
        UserError: no row.
    """
    if frame.empty:
        raise UserError("robustness: no rows; expected at least one change")
    weaker = frame[["tpr", "tnr"]].min(axis=1)
    clean, other = weaker[frame["change"] == "none"], weaker[frame["change"] != "none"]
    found: dict[str, object] = dict.fromkeys(("clean", "mean", "worst", "worst_change"))
    if len(clean):
        found["clean"] = float(clean.iloc[0])
    if len(other):
        found |= {"mean": float(other.mean()), "worst": float(other.min())}
        found["worst_change"] = str(frame.loc[other.idxmin(), "change"])
    for before in ("", "recent_"):
        for rate in ("tpr", "tnr"):
            values = frame[before + rate].dropna() if before + rate in frame else frame["tpr"][:0]
            if len(values):
                key = f"{before}lowest_{rate}"
                found |= {key: float(values.min()), f"{key}_change": frame.loc[values.idxmin(), "change"]}
    return found


def records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """The rows as JSON can hold them: None in place of NaN."""
    return [{key: None if value != value else value for key, value in row.items()} for row in frame.to_dict("records")]


def to_markdown(frame: pd.DataFrame) -> str:
    """The rows of one score as a Markdown table, intervals in brackets, and a line with the summary. Where recent
    images moved the threshold, also TPR and TNR after that, mean over the draws (5 % quantile in brackets)."""
    moved = "recent_tpr" in frame
    names = ["change", "TPR", "TNR", "AUROC", *(["TPR after recent", "TNR after recent"] if moved else [])]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for row in frame.to_dict("records"):
        cells = [
            f"{row[rate]:.{digits}f} [{row[f'{rate}_low']:.{digits}f}, {row[f'{rate}_high']:.{digits}f}]"
            for rate, digits in (("tpr", 3), ("tnr", 3), ("auroc", 4))
        ]
        if moved:
            cells += [f"{row[f'recent_{rate}']:.3f} [{row[f'recent_{rate}_low']:.3f}]" for rate in ("tpr", "tnr")]
        lines.append(f"| {row['change']} | {' | '.join(cells)} |")
    found = summary(frame)
    parts = []
    if found["clean"] is not None:
        parts.append(f"clean {found['clean']:.3f}")
    if found["worst"] is not None:
        parts.append(f"mean over changes {found['mean']:.3f}, worst {found['worst']:.3f} ({found['worst_change']})")
    if moved:
        lowest = min((found[f"recent_lowest_{rate}"], found[f"recent_lowest_{rate}_change"]) for rate in ("tpr", "tnr"))
        parts.append(f"after recent images moved the threshold, worst {lowest[0]:.3f} ({lowest[1]})")
    return "\n".join(lines) + f"\n\nThe smaller one of TPR and TNR: {'; '.join(parts)}.\n"


def plot_robustness(path: Path, frame: pd.DataFrame) -> list[Path]:
    """One panel for each kind with several strengths: TPR and TNR of one score over the strength, 95 % intervals
    shaded; nothing is written without such a kind."""
    kinds = [kind for kind in KINDS if (frame["kind"] == kind).sum() > 1]
    if not kinds:
        return []
    clean = frame[frame["change"] == "none"]
    columns = min(4, len(kinds))
    rows = -(-len(kinds) // columns)
    lowest = frame.loc[frame["kind"].isin(kinds), ["tpr", "tnr"]].min().min()
    with style():
        figure, axes = plt.subplots(
            rows, columns, figsize=(TWO_COLUMNS, 0.6 + 1.35 * rows), sharey=True, squeeze=False, layout="constrained"
        )
        for axis, kind in zip(axes.flat, kinds, strict=False):
            part = pd.concat([clean.assign(strength=KINDS[kind].neutral), frame[frame["kind"] == kind]])
            part = part.sort_values("strength")
            for rate, name, colour, marker in (("tpr", "TPR", ANOMALOUS, "o"), ("tnr", "TNR", PALETTE[0], "s")):
                axis.fill_between(
                    part["strength"], part[f"{rate}_low"], part[f"{rate}_high"], color=colour, alpha=0.15, linewidth=0
                )
                axis.plot(part["strength"], part[rate], color=colour, marker=marker, markersize=3, label=name)
            axis.axhline(DEMAND, color=PALETTE[-1], linestyle=":", linewidth=0.8, label="0.95")
            axis.axvline(KINDS[kind].neutral, color=NORMAL, linewidth=0.6, zorder=0)
            axis.set_xlabel(kind.replace("_", " "))
        for axis in axes.flat[len(kinds) :]:
            axis.set_axis_off()
        bottom = min(0.9, lowest - 0.02) if np.isfinite(lowest) else 0
        axes[0, 0].set_ylim(bottom, 1 + 0.05 * (1 - bottom))
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
        return save_figure(figure, path, FORMATS)
