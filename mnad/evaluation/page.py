"""The report of a run: the page of :mod:`mnad.line.report` over its test images, from the scores it has already."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from mnad.data.checks import finding_lines
from mnad.data.dataset import Photographs, Videos
from mnad.detector import Detector
from mnad.evaluation.items import Reader, read_items
from mnad.evaluation.pictures import judged
from mnad.evaluation.result import Evaluation
from mnad.line.report import Known, MemoryItem, MemorySection, heat, jpeg, write_report
from mnad.line.summary import Summary
from mnad.report.tables import health_line, rate
from mnad.run.verdict import Verdict

NAMED = 20  # missed anomalies that are named
SHOWN_ITEMS = 12
FRAME = 3  # pixels


def summarise(detector: Detector, data: Photographs | Videos, evaluation: Evaluation) -> Summary:
    """Verdicts of the primary score from the table of ``evaluation``; of videos the causal one."""
    summary, primary = Summary(), detector.primary
    threshold = detector.thresholds[primary].value
    test = judged(detector, data, evaluation)
    terms = detector.scores[primary].names
    rows = evaluation.table.to_dict("records") if isinstance(data, Videos) else []
    for i, (name, score) in enumerate(zip(test.names, test.scores.tolist(), strict=True)):
        raw = {term: rows[i][f"{primary}_{term}"] for term in terms} if rows else {}
        summary.add(Verdict(name, score, threshold, raw), partial(test.view, i))
    return summary


def against_labels(evaluation: Evaluation, primary: str) -> Known | None:
    """What the labels say of the verdicts; None without any, or with a class absent."""
    metrics, table = evaluation.scores.get(primary), evaluation.table
    if not metrics or metrics["tpr"] is None or metrics["tnr"] is None:
        return None
    found = metrics["n_anomalous"] - metrics["confusion"]["fn"]
    passed = metrics["n_normal"] - metrics["confusion"]["fp"]
    lines = [
        f"{found} of {metrics['n_anomalous']} anomalies were found: TPR {rate(metrics['tpr'], metrics['tpr_ci95'])}.",
        f"{passed} of {metrics['n_normal']} normals passed: TNR {rate(metrics['tnr'], metrics['tnr_ci95'])}.",
        f"AUROC {metrics['auroc']:.4f}. In brackets: 95 % intervals. The threshold never saw these pictures.",
    ]
    if "file" not in table:  # frames of videos: too many to name
        return Known(lines)
    anomalous = table[f"verdict_{primary}"] == 1
    missed = table[(table["label"] == 1) & ~anomalous]
    told = [f"{name} ({score:.3g})" for name, score in zip(missed["file"], missed[f"score_{primary}"], strict=True)]
    more = [f"and {len(told) - NAMED} more"] if len(told) > NAMED else []
    return Known(lines, told[:NAMED] + more, set(table["file"][(table["label"] == 0) & anomalous]))


def marked(picture: np.ndarray, reader: Reader, stride: int) -> np.ndarray:
    """H x W x 3 uint8, enlarged to at least 144 pixels of width, with a white frame (black inside) around the place of
    a query."""
    scale = max(1, -(-144 // picture.shape[1]))
    large = np.ascontiguousarray(picture.repeat(scale, axis=0).repeat(scale, axis=1))
    side = stride * scale
    place = large[reader.row * side : (reader.row + 1) * side, reader.column * side : (reader.column + 1) * side]
    inner = place[FRAME:-FRAME, FRAME:-FRAME].copy()
    place[:] = 255
    place[2:-2, 2:-2] = 0
    place[FRAME:-FRAME, FRAME:-FRAME] = inner
    return large


def memory_section(detector: Detector, data: Photographs, evaluation: Evaluation) -> MemorySection | None:
    """What each memory item stands for among the test photographs; None without a memory that can be shown."""
    flagged = evaluation.table[f"verdict_{detector.primary}"].to_numpy() == 1
    items = read_items(detector, data.test, flagged)
    if not items:
        return None
    stride, ceiling = detector.model.stride, max(float(item.attention.max()) for item in items)
    shown = []
    for item in items[:SHOWN_ITEMS]:
        told = f"nearest of {item.share:.1%} of the queries"
        told += "" if item.flagged is None else f", {item.flagged:.1%} in flagged pictures"
        pictures = [jpeg(marked(data.test[reader.image], reader, stride)) for reader in item.readers]
        shown.append(
            MemoryItem(f"item {item.number}", told.replace("%", " %"), jpeg(heat(item.attention, ceiling)), pictures)
        )
    health = evaluation.memory or {}
    lines = [
        f"Each place of {stride} x {stride} pixels asks the memory (a query) and reads a mixture of its {len(items)} "
        "items, weighted by how similar they are. First picture: the weight of the item by place, mean over the test, "
        "brighter is more, one scale for all. The others: the places that are nearest to it, framed, each in another "
        "picture.",
    ]
    if health:
        lines.append(health_line(health).capitalize() + ".")
    if len(items) > SHOWN_ITEMS:
        lines.append(f"The {SHOWN_ITEMS} most used items of {len(items)} are shown.")
    return MemorySection(lines, shown)


def write_run_report(
    folder: Path, detector: Detector, data: Photographs | Videos, evaluations: Mapping[str, Evaluation]
) -> Path:
    """``report.html`` in ``folder``, of the last evaluation: that of photographs, or without test-time update."""
    evaluation = list(evaluations.values())[-1]
    summary = summarise(detector, data, evaluation)
    memory = memory_section(detector, data, evaluation) if isinstance(data, Photographs) else None
    doubts = list(evaluation.scores.get(detector.primary, {}).get("doubts", []))
    if isinstance(data, Photographs):
        doubts += finding_lines(data.findings)
    title = f"{folder.name}: test of {data.root.name}"
    known = against_labels(evaluation, detector.primary)
    return write_report(folder / "report.html", summary, detector, title, doubts=doubts, known=known, memory=memory)
