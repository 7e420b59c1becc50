"""What ``scripts/score.py`` does: score everything, write what was asked for, print the worst."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from mnad.config import ScorePrecision
from mnad.data.paths import PassedOver
from mnad.detector import Detector
from mnad.line.boxes import draw_overlay, read_boxes
from mnad.line.cuts import Wanted
from mnad.line.film import Curve, one_film, written_film
from mnad.line.gauge import LineGauge
from mnad.line.report import MARK, heat, write_report
from mnad.line.scoring import Scored, by_picture, file_name, score, write_picture
from mnad.line.screen import per_second, screen
from mnad.line.sources import is_stream, shots
from mnad.line.summary import Summary
from mnad.run.files import atomic_path, check_distinct, check_replaceable, free
from mnad.run.streams import printable
from mnad.run.verdict_table import check_tables, open_tables


class Options(Protocol):
    """See ``scripts/score.py``."""

    paths: list[str]
    checkpoint: Path
    csv: Path | None
    json: Path | None
    maps: Path | None
    report: Path | None
    boxes: Path | None
    overlay: Path | None
    figure: Path | None
    top: int
    pictures: int
    workers: int | None
    device: str
    precision: ScorePrecision


def write_map(folder: Path, detector: Detector, one: Scored) -> None:
    """The anomaly map of one picture as numbers and as a picture.

    Raises:
        UserError: they cannot be written.
    """
    _, (values,) = detector.reconstruct(one.frames[None])
    target = folder / file_name(one.verdict.path, ".npy")
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        np.save(file, values)
    write_picture(target.with_suffix(".png"), heat(values, detector.model.map_ceiling))


def overlaid(scored: Iterable[Scored], folder: Path) -> Iterator[Scored]:
    """``scored``, and each picture with its wells and verdicts in ``folder``."""
    for wells in by_picture(scored):
        picture = wells[-1].picture
        path = wells[0].verdict.path.rpartition("#")[0]
        frame = path.rpartition(":")[2].isdecimal()
        if picture is not None and (not frame or any(well.verdict.anomalous for well in wells)):
            drawn = draw_overlay(picture, {well.box: well.verdict for well in wells})
            write_picture(folder / file_name(path, ".jpg"), drawn)
        yield from wells


def score_and_save(config: Options) -> int:
    """Score all of ``config.paths``; returns the exit status.

    Ctrl-C ends a camera or a stream like the end of a film; what was scored until then is written.

    Raises:
        UserError: anything wrong with the checkpoint, the boxes or the files to write, told before anything is scored.
    """
    check_tables(config.csv, config.json)
    check_distinct(csv=config.csv, json=config.json, report=config.report, figure=config.figure, overlay=config.overlay)
    if config.report:
        check_replaceable(config.report, MARK)
    film = config.overlay if config.overlay and not config.boxes else None
    rate = [one_film(config.paths, key) for key, path in (("overlay", film), ("figure", config.figure)) if path]
    for path in filter(None, (film, config.figure)):
        free(path)
    boxes = read_boxes(config.boxes) if config.boxes else ()
    detector = Detector.load(config.checkpoint).to(config.device).use(config.precision)
    detector.check_calibrated()
    gauge = LineGauge(detector) if config.report and not detector.past else None
    wanted = Wanted(boxes, config.report is not None, config.overlay is not None, config.workers, gauge is not None)
    # the table on the screen needs few rows, the report many
    summary = Summary(config.pictures) if config.report else Summary(0, config.top)
    passed = PassedOver()
    scored = score(detector, shots(config.paths, passed), wanted)
    if config.overlay and not film:
        scored = overlaid(scored, config.overlay)
    curve = Curve() if config.figure else None
    interrupted, started = False, time.perf_counter()
    terms = detector.scores[detector.primary].names
    with (
        written_film(film, detector, rate[0]) if film else nullcontext() as drawn,
        open_tables(config.csv, config.json, terms) as writers,
        tqdm(desc="score", unit=" pictures", mininterval=0.5, leave=False) as bar,
    ):
        try:
            for one in scored:
                for writer in writers:
                    writer.write(one.verdict)
                if config.maps and one.frames is not None:
                    write_map(config.maps, detector, one)
                if drawn:
                    drawn.add(one)
                if curve:
                    curve.add(one)
                summary.add(one.verdict, one.pictures, one.early)
                if gauge is not None:
                    gauge.update(one.verdict)
                bar.update()
        except KeyboardInterrupt:
            interrupted = True
    seconds = time.perf_counter() - started
    for line in screen(summary, config.top):
        print(line)
    print(f"{seconds:.1f} s, {per_second(summary.total, seconds)}; {threshold_line(detector)}")
    if detector.precision == "bfloat16":
        print(detector.again)
    for line in passed.lines():
        print(printable(line))
    if config.report:
        title = ", ".join(config.paths[:3]) + (", ..." if len(config.paths) > 3 else "")
        standing = None if gauge is None else gauge.standing()
        write_report(config.report, summary, detector, printable(title), passed.lines(), standing)
    if curve and config.figure:
        curve.save(config.figure, detector, printable(config.paths[0]))
    for path in filter(None, (config.csv, config.json, config.maps, config.overlay, config.figure, config.report)):
        print(path)
    if interrupted:
        print("interrupted; what was scored until then is written", file=sys.stderr)
        return summary.status if any(map(is_stream, config.paths)) else 130
    return summary.status


def threshold_line(detector: Detector) -> str:
    """The threshold of the verdict, how it was chosen and what it promises."""
    return f"score '{detector.primary}', {detector.thresholds[detector.primary]}"
