"""Anomaly-score curves of Ped2 from stored score tables; no frame of the videos is ever drawn."""

from pathlib import Path

from figures.entry import Drawn, Inputs, NotStoredError, origin
from mnad.report.caption import Caption
from mnad.report.plots import plot_curves
from mnad.report.plotting import FORMATS
from mnad.run.files import read_json, read_table

SCORES = {"score_mnad": "the paper's score `mnad`", "score_peak": "ours, `peak`"}  # column -> what a caption calls it
VARIANTS = {"recon": "reconstruction", "pred": "prediction"}  # last word of a table's name -> what was scored


def draw_videos(inputs: Inputs, folder: Path) -> Drawn:
    """Every stored ``ped2/**/scores*.csv``, one panel for each video: the paper's protocol, and the causal score."""
    paths = sorted(inputs.stored("ped2").rglob("scores*.csv"))
    if not paths:
        raise NotStoredError(f"{inputs.results / 'ped2'}: no scores*.csv; expected score tables of evaluate.py")
    captions = {}
    for path in paths:
        frame = read_table(path, {"video", "frame", "label", next(iter(SCORES))}, text=("video",))
        scores = [score for score in SCORES if score in frame]
        name = path.stem.removeprefix("scores").replace(" ", "_")
        stem = str((path.parent / f"curves{name}").relative_to(inputs.results))
        plot_curves(folder / f"{stem}.png", frame, scores, FORMATS)
        variant = VARIANTS.get(path.stem.rpartition("_")[2])
        videos = f"the UCSD Ped2 test videos{f' ({variant})' if variant else ''}, one panel each"
        shows = (
            f"Anomaly score of every frame of {videos}: {', '.join(SCORES[score] for score in scores)}; shaded: frames "
            "that are labelled abnormal. Scores are scaled within each video, so heights compare within a panel only. "
            "Two columns wide (6.9 in)."
        )
        source = f"{origin(path.parent, path.stem)} Table: `{path.name}`."
        captions[stem] = Caption("Scores of the Ped2 test videos", shows, source, inputs.conclusion(stem))
        record = read_json(path.parent / "run.json").get(path.stem, {}) if (path.parent / "run.json").is_file() else {}
        causal = f"causal_{record.get('primary')}"
        if causal in frame:
            stem = str((path.parent / f"causal{name}").relative_to(inputs.results))
            plot_curves(folder / f"{stem}.png", frame, [causal], FORMATS, record["threshold"])
            shows = (
                f"Causal score `{record['primary']}` of every frame of {videos}, with its threshold; shaded: frames "
                "that are labelled abnormal. No frame needs a later one; one scale holds for all panels. Two columns "
                "wide (6.9 in)."
            )
            captions[stem] = Caption("The causal score of the Ped2 test videos", shows, source, inputs.conclusion(stem))
    return Drawn(captions)
