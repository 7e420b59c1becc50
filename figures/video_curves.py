"""Anomaly-score curves of Ped2 from stored score tables; no frame of the videos is ever drawn."""

from pathlib import Path

import pandas as pd

from figures.entry import Caption, Drawn, Inputs, NotStoredError, origin
from mnad.evaluation.judge import auroc_by_video
from mnad.report.plots import plot_curves
from mnad.report.plotting import FORMATS
from mnad.report.tables import percent_number
from mnad.run.files import read_table
from mnad.scoring.metrics import auroc

SCORES = {"score_mnad": "the paper's score `mnad`", "score_peak": "ours, `peak`"}  # column -> what a caption calls it
VARIANTS = {"recon": "reconstruction", "pred": "prediction"}  # last word of a table's name -> what was scored


def conclude(frame: pd.DataFrame, scores: list[str]) -> str:
    """Frame AUC over all frames, and the best and the worst video of the first score."""
    whole = [f"{percent_number(auroc(frame['label'].to_numpy(), frame[s].to_numpy()))} % ({SCORES[s]})" for s in scores]
    text = f"Frame AUC over all {len(frame)} scored frames: {', '.join(whole)}."
    judged = {video: value for video, value in auroc_by_video(frame, scores[0]).items() if value is not None}
    if judged:
        best, worst = max(judged, key=judged.__getitem__), min(judged, key=judged.__getitem__)
        text += (
            f" Of the {len(judged)} videos with both kinds of frames, {SCORES[scores[0]]} ranks {best} best "
            f"({percent_number(judged[best])} %) and {worst} worst ({percent_number(judged[worst])} %)."
        )
    one = frame["video"].nunique() - len(judged)
    if one:
        text += f" {one} videos hold one kind of frames only: their curves count in the AUC over all frames alone."
    return text


def draw_videos(inputs: Inputs, folder: Path) -> Drawn:
    """Every stored ``ped2/**/scores*.csv``, one panel for each video."""
    paths = sorted(inputs.stored("ped2").rglob("scores*.csv"))
    if not paths:
        raise NotStoredError(f"{inputs.results / 'ped2'}: no scores*.csv; expected score tables of evaluate.py")
    captions = {}
    for path in paths:
        frame = read_table(path, {"video", "frame", "label", next(iter(SCORES))}, text=("video",))
        scores = [score for score in SCORES if score in frame]
        name = "curves" + path.stem.removeprefix("scores").replace(" ", "_")
        stem = str((path.parent / name).relative_to(inputs.results))
        plot_curves(folder / f"{stem}.png", frame, scores, FORMATS)
        variant = VARIANTS.get(path.stem.rpartition("_")[2])
        shows = (
            f"Anomaly score of every frame of the UCSD Ped2 test videos{f' ({variant})' if variant else ''}, one panel "
            f"each: {', '.join(SCORES[score] for score in scores)}; shaded: frames that are labelled abnormal. Scores "
            "are scaled within each video, so heights compare within a panel only. Two columns wide (6.9 in)."
        )
        source = f"{origin(path.parent, path.stem)} Table: `{path.name}`."
        captions[stem] = Caption("Scores of the Ped2 test videos", shows, source, conclude(frame, scores))
    return Drawn(captions)
