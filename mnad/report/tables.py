"""Results as text: one table for photographs and videos, and the lines around it."""

from collections.abc import Mapping

import pandas as pd

VIDEO_NOTE = (
    "AUROC, mean over videos: the paper's protocol; each video is scaled by its own extremes, known when it is over\n"
    "causal AUROC, TPR, TNR: no frame needs a later one, as on a live camera"
)
COLLAPSED = 1.1  # effective items; below it one item takes at least 98 % of the queries


def rate(value: float | None, interval: tuple[float, float] | None) -> str:
    """``0.984 [0.917, 0.997]``; ``-`` when there was nothing to count."""
    return "-" if value is None or interval is None else f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def number(value: float | None, digits: int = 4) -> str:
    """``0.9412``; ``-`` for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent_number(value: float | None) -> str:
    """A share in percent without the sign, for columns that say so: ``0.9412`` -> ``94.12``; ``-`` for None."""
    return "-" if value is None else f"{100 * value:.2f}"


def results_table(results: Mapping[tuple[str, str], Mapping]) -> str:
    """(model, score) -> metrics of :func:`mnad.evaluation.result.judge_scores`, as aligned text.

    Of videos, AUROC is the paper's frame-level AUC, over scores that are scaled by the extremes of each video, and
    "causal AUROC" that of the scores which need no later frame; threshold, TPR and TNR are theirs (:data:`VIDEO_NOTE`).
    Pixel metrics stand in a row that has them under ``pixels``. "in validation" are the false alarms among the normals
    that the threshold was chosen on.
    """
    rows = []
    for (model, score), r in results.items():
        row = {"model": model, "score": score, "AUROC": number(r["auroc"])}
        if "auroc_video_mean" in r:
            row["mean over videos"] = number(r["auroc_video_mean"])
            row["causal AUROC"] = number(r["verdict_auroc"])
        row["TPR [95 % CI]"], row["TNR [95 % CI]"] = (rate(r[key], r[f"{key}_ci95"]) for key in ("tpr", "tnr"))
        if r["threshold"] is not None:
            row["threshold"] = f"{r['threshold']:.4g}"
            row["missed"] = f"{r['confusion']['fn']}/{r['n_anomalous']}"
            row["false alarms"] = f"{r['confusion']['fp']}/{r['n_normal']}"
            if r.get("validation"):
                row["in validation"] = f"{r['validation']['fp']}/{r['validation']['n_normal']}"
        if r.get("pixels"):
            row["pixel AUROC"], row["AUPRO"] = (number(r["pixels"][key]) for key in ("pixel_auroc", "aupro"))
        rows.append(row)
    table = pd.DataFrame(rows).fillna("-").to_string(index=False)
    return f"{table}\n{VIDEO_NOTE}" if any("causal AUROC" in row for row in rows) else table


def health_line(health: Mapping[str, float | int]) -> str:
    """How the memory is used (see :func:`mnad.model.health.memory_health`), and whether it has collapsed."""
    line = (
        f"memory: {health['perplexity']:.2f} effective items (entropy {health['usage_entropy']:.2f} nats), "
        f"{health['dead_items']} dead, similarity of items {health['item_similarity_mean']:.3f} on average, "
        f"{health['item_similarity_max']:.3f} at most"
    )
    if health["perplexity"] < COLLAPSED:
        line += "; collapsed: one item takes nearly all queries"
    return line
