"""The report: one self-contained page (jinja2) that asks for nothing, with counts, charts, pictures and the table."""

import base64
import datetime
import io
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np

from mnad.detector import Detector
from mnad.line.summary import Summary
from mnad.run.files import write_text
from mnad.run.verdict import Verdict, camera_and_time
from mnad.run.verdict_table import CsvWriter, json_row

MARK = '<!doctype html>\n<html lang="en" data-page="mnad-report">'  # how a report begins
SHOWN = 320  # longer side of a picture in the page, in pixels, at most


@dataclass
class Standing:
    """What can be promised, and whether the camera still sees what it was promised for; see the section of the page.

    Args:
        lines: sentences.
        drifted: whether the gauge is red; None where there is none.
    """

    lines: Sequence[str] = ()
    drifted: bool | None = None


def data_uri(kind: str, content: bytes) -> str:
    """``content`` inside an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def jpeg(picture: np.ndarray) -> str:
    """H x W x 3 uint8 RGB as the address of a JPEG; small ones are drawn larger, pixel by pixel, by the page."""
    scale = SHOWN / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return data_uri("image/jpeg", cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())


def heat(error: np.ndarray, ceiling: float) -> np.ndarray:
    """Anomaly map (H x W) as a picture, H x W x 3 uint8 RGB; ``ceiling`` and more is the brightest."""
    values = np.clip(error / max(ceiling, 1e-12) * 255, 0, 255).astype(np.uint8)
    return cv2.applyColorMap(values, cv2.COLORMAP_INFERNO)[..., ::-1]


def shown_row(verdict: Verdict) -> dict[str, object]:
    """What the page knows of one verdict; the camera and time of a well or a frame are those of its picture."""
    row = json_row(verdict)
    if not row["camera"]:
        row["camera"], row["time"] = camera_and_time(verdict.path.rpartition("#")[0])
    return row


def cards(summary: Summary, detector: Detector, batch: int = 16) -> list[dict[str, object]]:
    """The flagged pictures, worst first, each with photograph, reconstruction (unless the model rebuilds features) and
    map. One scale for all maps."""
    entries = [(verdict, view) for verdict, view in summary.flagged.sorted() if view is not None]
    found: list[dict[str, object]] = []
    maps: list[np.ndarray] = []
    for start in range(0, len(entries), batch):
        part = entries[start : start + batch]
        outputs, errors = detector.reconstruct(np.stack([frames for _, (_, frames) in part]))
        for (verdict, (photo, _)), output, error in zip(part, outputs, errors, strict=True):
            found.append({"row": shown_row(verdict), "photograph": jpeg(photo)})
            if "image" in detector.model.gives:
                found[-1]["reconstruction"] = jpeg(output)
            maps.append(error)
    if maps:
        ceiling = float(np.quantile(np.stack(maps), 0.995))
        for card, error in zip(found, maps, strict=True):
            card["map"] = jpeg(heat(error, ceiling))
    return found


@dataclass
class Known:
    """What the labels of a test say of the verdicts.

    Args:
        lines: sentences.
        missed: names of the anomalies that were not found; they are told with their scores.
        false: names of the flagged ones that are labelled normal.
    """

    lines: Sequence[str]
    missed: Sequence[str] = ()
    false: Collection[str] = ()


@dataclass
class MemoryItem:
    """A memory item in the page: words, a map of where it is read, and pictures of what reads it, as addresses."""

    name: str
    told: str
    where: str
    readers: Sequence[str]


@dataclass
class MemorySection:
    """The section on the memory.

    Args:
        lines: sentences.
        items: the most used first.
    """

    lines: Sequence[str]
    items: Sequence[MemoryItem]


def csv_text(verdicts: Sequence[Verdict], terms: Sequence[str]) -> str:
    """The table of ``verdicts`` as CSV."""
    buffer = io.StringIO()
    writer = CsvWriter(buffer, terms)
    for verdict in verdicts:
        writer.write(verdict)
    return buffer.getvalue()


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``."""
    raw = (high - low) / about or 1
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 5, 10) if size * m >= raw)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def histogram_chart(summary: Summary, threshold: float) -> dict[str, object] | None:
    """Bars in a unit square, y downwards, by square root, so that few spills beside many normals are seen."""
    bars = summary.histogram.bars(threshold)
    if not bars:
        return None
    low, high = bars[0][0], bars[-1][1]
    top = math.sqrt(max(count for *_, count in bars))
    drawn = [
        {
            "x": (a - low) / (high - low), "width": (b - a) / (high - low), "height": math.sqrt(count) / top,
            "anomalous": (a + b) / 2 >= threshold, "label": f"{a:.3g} to {b:.3g}: {count:,}",
        }
        for a, b, count in bars
    ]  # fmt: skip
    marks = [{"x": (value - low) / (high - low), "label": f"{value:g}"} for value in ticks(low, high)]
    return {"bars": drawn, "threshold": (threshold - low) / (high - low), "ticks": marks, "top": f"{top**2:,.0f}"}


def time_charts(summary: Summary, threshold: float) -> list[dict[str, object]]:
    """Points of each camera in a unit square, y downwards; all cameras on the same two scales."""
    points = [p for p in summary.time.normal + summary.time.anomalous if math.isfinite(p.verdict.score)]
    if not points:
        return []
    values = np.array([p.verdict.score for p in points])
    low = min(float(np.quantile(values, 0.005)), threshold)
    high = max(float(np.quantile(values, 0.995)), threshold)
    low, high = low - 0.06 * ((high - low) or 1), high + 0.06 * ((high - low) or 1)
    charts = []
    times = [datetime.datetime.fromisoformat(p.time) for p in points]
    first, last = min(times), max(times)
    span = (last - first).total_seconds() or 1
    for camera in sorted({p.camera for p in points}):
        own = [(t, p) for t, p in zip(times, points, strict=True) if p.camera == camera]
        drawn = [
            {
                "x": (t - first).total_seconds() / span,
                "y": 1 - min(max((p.verdict.score - low) / (high - low), 0), 1),
                "anomalous": p.verdict.anomalous, "label": f"{t:%Y-%m-%d %H:%M:%S}  {p.verdict.score:.3g}",
            }
            for t, p in own
        ]  # fmt: skip
        marks = [{"y": 1 - (value - low) / (high - low), "label": f"{value:g}"} for value in ticks(low, high, 4)]
        charts.append(
            {
                "camera": camera, "points": drawn, "ticks": marks, "threshold": 1 - (threshold - low) / (high - low),
                "first": f"{first:%Y-%m-%d %H:%M}", "last": f"{last:%Y-%m-%d %H:%M}",
            }
        )  # fmt: skip
    return charts


def notes(summary: Summary) -> list[str]:
    """What the page leaves out, in sentences."""
    found = []
    anomalous, scored = summary.counts["anomalous"], summary.counts["anomalous"] + summary.counts["normal"]
    if anomalous > summary.pictures:
        found.append(f"The pictures are those of the {summary.pictures:,} highest scores of {anomalous:,} anomalous.")
    if scored > summary.rows:
        found.append(f"Table and CSV hold the {summary.rows:,} highest scores of {scored:,}.")
    if summary.counts["error"] > len(summary.errors):
        found.append(f"Of {summary.counts['error']:,} errors the first {len(summary.errors):,} are listed.")
    if summary.time.step > 1:
        found.append(f"The charts over time show one in {summary.time.step:,} of the normal ones.")
    if summary.time.dropped:
        found.append(f"The charts over time leave out {summary.time.dropped:,} anomalous ones.")
    return found


def write_report(
    path: Path,
    summary: Summary,
    detector: Detector,
    title: str,
    passed: Sequence[str] = (),
    standing: Standing | None = None,
    doubts: Sequence[str] = (),
    known: Known | None = None,
    memory: MemorySection | None = None,
) -> Path:
    """Write the page of ``summary``; everything it shows is inside it.

    Args:
        detector: that gave the verdicts; it draws the reconstructions of the pictures that were kept.
        title: heading of the page.
        passed: lines about files that were left out.
        standing: the section on promise and drift; None leaves it out.
        doubts: why the result may be of no use (:func:`mnad.evaluation.result.doubts`); they come first.
        known: what the labels say, where the pictures have some.
        memory: the section on the memory; None leaves it out.

    Raises:
        UserError: it cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    threshold, terms = detector.thresholds[detector.primary], detector.scores[detector.primary].names
    listed = [verdict for verdict, _ in summary.table.sorted()] + summary.errors
    rows = [[r["path"], r["verdict"], r["score"], r["camera"], r["time"], r["error"]] for r in map(shown_row, listed)]
    encoded = json.dumps(rows, ensure_ascii=False).replace("<", "\\u003c")  # no tag can end the script
    page = environment.get_template("report.html").render(
        mark=MARK,
        title=title,
        summary=summary,
        total=summary.total,
        threshold=threshold,
        score=detector.label(detector.primary),
        model=detector.config.model.name,
        record=detector.record,
        version=metadata.version("mnad-wells"),
        written=f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        histogram=histogram_chart(summary, threshold.value),
        charts=time_charts(summary, threshold.value),
        cards=cards(summary, detector),
        rows=encoded,
        csv=data_uri("text/csv;charset=utf-8", csv_text(listed, terms).encode()),
        notes=[*notes(summary), *passed],
        standing=standing,
        doubts=doubts,
        known=known,
        memory=memory,
    )
    write_text(path, page)
    return path
