"""The one result: what ``metrics.json``, ``result.json`` and ``evaluate.py --json`` hold of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mnad.report.tables import health_line
from mnad.run import UserError
from mnad.run.files import read_json
from mnad.scoring.metrics import judge
from mnad.scoring.threshold import Threshold


@dataclass
class Evaluation:
    """What came out of one pass over a test set.

    Attributes:
        scores: score -> metrics, see :func:`judge_scores`; empty without labels.
        table: one row for each test image or frame: ``file`` (of videos ``video`` and ``frame``), ``label`` where
            there are labels, and for each score ``score_NAME`` and ``verdict_NAME``; of videos also the columns of
            :func:`mnad.evaluation.judge.frame_table`.
        images_per_second: test images or frames over the seconds from their files to every score, on this machine.
        pixels: ``pixel_auroc`` and ``aupro`` of the anomaly maps; None without masks or without maps.
        memory: :func:`mnad.model.health.memory_health` over all queries of the test; None without a memory.
        memory_updates: frames that changed the memory; None where nothing may (photographs, no test-time update).
        gamma: of the test-time update; None without it.
        left_out: why each test image was that could not be read.
    """

    scores: dict[str, dict[str, Any]]
    table: pd.DataFrame
    images_per_second: float
    pixels: dict[str, float] | None = None
    memory: dict[str, float | int] | None = None
    memory_updates: int | None = None
    gamma: float | None = None
    left_out: list[str] = field(default_factory=list)

    def record(self) -> dict[str, object]:
        """Everything but the table, JSON-able."""
        return {
            "scores": self.scores,
            "pixels": self.pixels,
            "memory": self.memory,
            "memory_updates": self.memory_updates,
            "gamma": self.gamma,
            "images": len(self.table),
            "left_out": self.left_out,
            "images_per_second": self.images_per_second,
        }

    def verdict(self, primary: str) -> dict[str, object]:
        """The record with the metrics of the score ``primary`` at its top, as ``evaluate.py --json`` writes it."""
        return {"score": primary, **self.scores.get(primary, {}), **self.record()}

    def lines(self, thresholds: Mapping[str, Threshold], primary: str, words: str = "images") -> list[str]:
        """What is printed under the table: verdict, memory, speed; ``words`` says what was judged."""
        lines = []
        if self.left_out:
            lines.append(f"left out: {len(self.left_out)} {words} that cannot be read; {len(self.table)} were judged")
        if primary in thresholds:
            lines.append(f"verdict by score '{primary}': {thresholds[primary]}")
        if self.memory:
            lines.append(health_line(self.memory))
        if words == "frames":
            updates, count = self.memory_updates, len(self.table)
            if self.memory:
                lines.append(f"test-time update: {'off' if updates is None else f'{updates} of {count} frames'}")
            if self.table["video"].nunique() == 1:  # each video has its own scale, so frames of two cannot be compared
                column = f"causal_{primary}" if primary in thresholds else f"score_{primary}"
                top = self.table.loc[self.table[column].idxmax()]
                lines.append(f"most anomalous frame: {top['frame']} of video {top['video']}")
        lines += [f"doubt: {doubt}" for doubt in self.scores.get(primary, {}).get("doubts", [])]
        return [*lines, f"{self.images_per_second:.0f} {words} per second, decoding included"]


def doubts(metrics: Mapping, threshold: Threshold | None) -> list[str]:
    """Why a result is of no use, one line each, with what to try; empty for one that is.

    Args:
        metrics: of :func:`mnad.scoring.metrics.judge`.
        threshold: the one that was judged; its promise has the false alarms among the validation normals.
    """
    found = []
    if metrics["auroc_ci95"] is not None and metrics["auroc_ci95"][0] <= 0.5:
        found.append(
            f"AUROC {metrics['auroc']:.3f} may be chance (95 % interval from {metrics['auroc_ci95'][0]:.3f}); try "
            "larger images, another score, or the configuration of the layout"
        )
    if metrics["tpr"] is None or metrics["tnr"] is None:
        return found
    false_alarms = 1 - metrics["tnr"]
    if metrics["tpr"] <= false_alarms:
        found.append(
            f"TPR {metrics['tpr']:.3f} is not above the false-alarm rate {false_alarms:.3f}: the verdict says nothing; "
            "try another threshold rule or score"
        )
    kept = threshold.promise if threshold is not None else None
    if kept is not None and 1 - metrics["tnr_ci95"][1] > kept.false_alarm_rate:
        found.append(
            f"{false_alarms:.1%} false alarms here, at most {kept.false_alarm_rate:.1%} were promised from the "
            "validation normals: the test shows what training never did; try calibrating with normals of this kind"
        )
    return found


def judge_scores(
    reported: Mapping[str, np.ndarray],
    labels: np.ndarray,
    thresholds: Mapping[str, Threshold],
    decided: Mapping[str, np.ndarray] | None = None,
) -> dict[str, dict[str, object]]:
    """Metrics of every score: those of :func:`mnad.scoring.metrics.judge`, ``verdict_auroc``, ``validation`` (false
    alarms ``fp`` of ``n_normal`` normals that the threshold was chosen on; None where nobody knows) and :func:`doubts`.

    Args:
        reported: score -> N values that ``auroc`` ranks. Of videos those of the paper's protocol, each video on its
            own scale; of photographs the values that the threshold decides.
        labels: N, 1 = anomalous.
        thresholds: by score; a score without one has no TPR and TNR.
        decided: score -> N values that the threshold decides, ranked by ``verdict_auroc``; None: ``reported``.
    """
    found = {}
    for name, values in reported.items():
        threshold = thresholds.get(name)
        by_verdict = (decided or reported).get(name, values)
        metrics = judge(by_verdict, labels, None if threshold is None else threshold.value)
        metrics["verdict_auroc"] = metrics["auroc"]
        if decided is not None:
            ranked = judge(values, labels, None)
            metrics |= {key: ranked[key] for key in ("auroc", "auroc_ci95", "average_precision")}
        kept = None if threshold is None else threshold.promise
        metrics["validation"] = None if kept is None else {"fp": kept.false_alarms, "n_normal": kept.n_normal}
        metrics["doubts"] = doubts(metrics, threshold)
        found[name] = metrics
    return found


def read_evaluations(folder: Path) -> dict[str, dict]:
    """Name -> :meth:`Evaluation.record` of each evaluation in the ``metrics.json`` of a finished run or model.

    Raises:
        UserError: missing, no JSON, or written by a revision before 2026-11-25, whose results had another shape.
    """
    path = folder / "metrics.json"
    found = read_json(path, "a finished run").get("evaluations")
    if not isinstance(found, dict):
        raise UserError(f"{path}: has no evaluations; expected a run of this revision (--resume judges it again)")
    return found
