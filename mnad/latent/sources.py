"""What the latent map reads: a source of model inputs, and a table that says what each of them is.

Another kind of data (clips of a video) needs one function that returns an :class:`ImageSet`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mnad.config import DetectorConfig, ImageConfig, LayoutOptions
from mnad.data.clips import Clips, past_frames
from mnad.data.images import Images
from mnad.data.layouts import is_video, read_layout
from mnad.data.source import Source
from mnad.data.videos import read_videos
from mnad.detector import Detector
from mnad.run import UserError
from mnad.run.files import read_table

GROUPS = ("train", "normal", "anomaly")


@dataclass
class ImageSet:
    """Inputs of a model and what is known about each.

    Attributes:
        source: N inputs and targets.
        table: N rows with ``file`` (str), ``set`` (``train``, ``known`` or ``test``) and ``label`` (0 or 1);
            ``kind`` (str) for photographs; ``video`` (str) and ``frame`` (int) for clips.
        anomaly: what an anomaly is called in figures.
    """

    source: Source
    table: pd.DataFrame
    anomaly: str = "anomaly"

    def __post_init__(self) -> None:
        """Add ``group``: one of ``GROUPS``; test normals and training images are told apart."""
        anomalous = self.table["label"] == 1
        groups = np.where(anomalous, "anomaly", np.where(self.table["set"] == "train", "train", "normal"))
        self.table["group"] = groups


def read_kinds(root: Path, files: list[str]) -> list[str] | None:
    """Kind of each of ``files`` (paths inside ``root``) from ``root/kinds.csv``; None where there is no such file.

    A file that is not listed there, or without a kind, is of kind ``unknown``.

    Raises:
        UserError: no column ``file`` or ``kind``, or no text.
    """
    path = root / "kinds.csv"
    if not path.is_file():
        return None
    table = read_table(path, {"file", "kind"}, text=("file", "kind"), literal=True)
    kinds = dict(zip(table["file"], table["kind"], strict=True))
    return [kinds.get(name) or "unknown" for name in files]


def wells(root: Path, config: ImageConfig, layout: str = "auto", options: LayoutOptions | None = None) -> ImageSet:
    """The wells of ``root``: training, known anomalies and test. Nothing is decoded before it is asked for.

    Kinds are those of ``kinds.csv``; without that file, the set and the label, and of the layout ``mvtec`` the folder
    of each anomaly.

    Raises:
        UserError: see :func:`mnad.data.layouts.read_layout` and :func:`read_kinds`.
    """
    found = read_layout(root, layout, options=options)
    paths = [*found.train, *found.known, *found.test]
    sets = ["train"] * len(found.train) + ["known"] * len(found.known) + ["test"] * len(found.test)
    labels = [0] * len(found.train) + [1] * len(found.known) + [int(label) for label in found.labels]
    table = pd.DataFrame({"file": [p.relative_to(root).as_posix() for p in paths], "set": sets, "label": labels})
    coarse = {
        ("train", 0): "train",
        ("known", 1): "known anomaly",
        ("test", 0): "test normal",
        ("test", 1): "test anomaly",
    }
    kinds = read_kinds(root, list(table["file"]))
    if kinds is None:
        kinds = [coarse[key] for key in zip(sets, labels, strict=True)]
        if found.name == "mvtec":  # a folder for each defect
            kinds = [p.parent.name if label else kind for p, kind, label in zip(paths, kinds, labels, strict=True)]
    table["kind"] = kinds
    anomaly = "spill" if found.name == "wells" else "anomaly"
    return ImageSet(Images(paths, config.size, memory_gb=0, fit=config.fit), table, anomaly)


def name_by_term(data: ImageSet, detector: Detector) -> None:
    """Each anomaly becomes of the kind of the term of ``detector``'s verdict that is largest, on the scale of the
    validation normals, mean over members.

    Raises:
        UserError: clips; a detector of one term, or an image that cannot be read.
    """
    score = detector.scores[detector.primary]
    names = score.names[: len(score.weights)]
    if "kind" not in data.table or len(names) < 2:
        what = "clips of videos" if "kind" not in data.table else f"a verdict by {names[0]} alone"
        raise UserError(f"kinds: {what}; expected photographs and a detector of two terms or more")
    rows = np.flatnonzero(data.table["label"] == 1)
    if not len(rows):
        return
    raw = detector.raw_terms([data.source.sources[i] for i in rows], "anomalies")  # type: ignore[attr-defined]
    values = score.scaled(torch.from_numpy(raw[detector.primary]).to(detector.device))
    largest = values.view(len(rows), -1, len(names)).mean(dim=1).argmax(dim=1)
    data.table.loc[rows, "kind"] = [names[i] for i in largest.tolist()]


def videos(root: Path, config: DetectorConfig) -> ImageSet:
    """Every clip of the training and test videos of ``root``, described by its last frame, which is the target.

    Raises:
        UserError: see :func:`mnad.data.videos.read_videos` and :class:`mnad.data.clips.Clips`.
    """
    found = read_videos(root)
    folders = [*found.train, *found.test]
    sets = ["train"] * len(found.train) + ["test"] * len(found.test)
    labels = [np.zeros(len(video), dtype=np.int64) for video in found.train] + list(found.labels)
    past = past_frames(config.model.variant)
    rows = [
        {"file": video.paths[i].relative_to(root).as_posix(), "set": part, "label": int(truth[i])}
        | {"video": f"{part} {video.name}", "frame": i}
        for video, part, truth in zip(folders, sets, labels, strict=True)
        for i in range(past, len(video))
    ]
    return ImageSet(Clips(folders, config.images.size, past, memory_gb=0), pd.DataFrame(rows), "abnormal")


def open_images(
    root: Path, config: DetectorConfig, layout: str = "auto", options: LayoutOptions | None = None
) -> ImageSet:
    """Videos or wells, by ``layout`` or by the folders of ``root``.

    Raises:
        UserError: see :func:`videos` and :func:`wells`; a variant that does not fit the data.
    """
    if is_video(root, layout, options):
        return videos(root, config)
    if config.model.variant == "pred":
        raise UserError(f"{root}: photographs; expected videos by a checkpoint of the prediction variant")
    return wells(root, config.images, layout, options)
