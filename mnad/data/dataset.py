"""What an experiment runs on: photographs or videos behind one small protocol."""

import warnings
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from mnad.config import DataConfig, ImageConfig, LayoutOptions, Variant, past_frames
from mnad.data.checks import check_colours, duplicates
from mnad.data.clips import Clips, check_length, split_videos
from mnad.data.images import Images, split
from mnad.data.layout import Layout
from mnad.data.layouts import check_data_given, detect_layout, is_video, read_layout
from mnad.data.masks import read_masks
from mnad.data.source import Source
from mnad.data.split_file import own_split, relative, run_of, seen_before, split_roles
from mnad.data.synthetic import SYNTHETIC, draw_wells
from mnad.data.videos import FrameFolder, VideoLayout, read_videos
from mnad.run import UserError


class Dataset(Protocol):
    """Images by role: ``train``, ``validation`` and ``known`` for :meth:`sources`, and the test.

    Attributes:
        root: the folder or file that was read.
        words: what a test unit is called: ``images`` or ``frames``.
        layout_name: how the data is laid out, see :data:`mnad.data.layouts.LAYOUTS`; ``video`` for videos.
        labels: of the test, 1 = anomalous; of videos one array each; None where there are none.
        left_out: what could not be read and was left out, in one line; empty without any.
    """

    root: Path
    words: str
    layout_name: str
    labels: np.ndarray | list[np.ndarray] | None

    @property
    def left_out(self) -> str:
        """See above."""
        ...

    def sources(self, seed: int) -> dict[str, Source]:
        """``train``, ``validation`` and, where there are any, ``known``; only the split depends on ``seed``."""
        ...

    def read(self) -> dict[str, object]:
        """Read everything once, so that errors show before training starts; returns the findings."""
        ...

    def split_record(self, seed: int) -> dict[str, object]:
        """Which image had which role, for ``split.json``."""
        ...

    def check_unseen(self, checkpoint: Path) -> None:
        """Raises ``UserError`` if the test holds images that chose weights or threshold of ``checkpoint``."""
        ...

    def __str__(self) -> str:
        """The roles and their sizes, in one line."""
        ...


class Photographs:
    """Photographs of a :class:`mnad.data.layout.Layout`; each file is opened once."""

    words = "images"

    def __init__(self, layout: Layout, images: ImageConfig, allow_mixed: bool = False, skip_bad: bool = False) -> None:
        self.layout, self.images, self.allow_mixed, self.skip_bad = layout, images, allow_mixed, skip_bad
        self.skipped: dict[str, list[str]] = {}
        self.findings: dict[str, object] = {}  # of `read`
        self.root, self.labels, self.layout_name = layout.root, layout.labels, layout.name

    def _open(self, role: str, name: str) -> Images:
        """The images of one role of the layout, which then holds those that were not left out."""
        paths, settings = getattr(self.layout, role), self.images
        images = Images(paths, settings.size, settings.memory_gb, name, settings.fit, self.skip_bad)
        if images.skipped:
            self.skipped[name] = images.skipped
            setattr(self.layout, role, images.sources)
            if role == "test":
                self.labels = self.layout.labels = self.layout.labels[images.kept]
            for reason in images.skipped:
                warnings.warn(f"left out: {reason}", stacklevel=2)
        return images

    @cached_property
    def normals(self) -> Images:
        """Training and validation normals."""
        return self._open("train", "train")

    @cached_property
    def known(self) -> Images | None:
        """Known anomalies, for the threshold only."""
        return self._open("known", "known anomalies") if self.layout.known else None

    @cached_property
    def test(self) -> Images:
        """The test images. Raises ``UserError`` when there are none."""
        if not self.layout.test:
            raise UserError(f"{self.root}: no test images; expected at least one")
        return self._open("test", "test")

    @cached_property
    def masks(self) -> np.ndarray | None:
        """N x H x W bool, which pixels of the test images are anomalous; None where the layout has no masks."""
        return read_masks(self.layout, self.images.size, self.images.fit) if self.layout.masks else None

    @property
    def test_names(self) -> list[str]:
        """Path of each test image from the root."""
        return [relative(path, self.root) for path in self.layout.test]

    @property
    def left_out(self) -> str:
        """How many images of each role were left out since they cannot be read, in one line; empty without any."""
        counts = ", ".join(f"{len(reasons)} {role}" for role, reasons in self.skipped.items())
        return f"left out, since they cannot be read: {counts}" if counts else ""

    def split(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the training and of the validation normals."""
        return split(len(self.layout.train), self.images.validation_fraction, seed)

    def sources(self, seed: int) -> dict[str, Source]:
        """See :class:`Dataset`."""
        held_in, held_out = self.split(seed)
        found: dict[str, Source] = {"train": self.normals.subset(held_in), "validation": self.normals.subset(held_out)}
        return found | ({"known": self.known} if self.known is not None else {})

    def read(self) -> dict[str, object]:
        """See :class:`Dataset`: counts of duplicates across roles, and of grey images among coloured ones; masks are
        read as well."""
        roles = {"train": self.normals, "known": self.known, "test": self.test}
        roles = {role: images for role, images in roles.items() if images is not None}
        grey = check_colours(roles, self.labels, self.allow_mixed)
        skipped = {"left_out": self.skipped} if self.skipped else {}
        _ = self.masks  # one that does not fit its image ends the command now, not after the training
        self.findings = {"grey_images_among_colour": grey, **duplicates(roles), **skipped}
        return self.findings

    def split_record(self, seed: int) -> dict[str, object]:
        """See :class:`Dataset`; ``sha256`` says what the training and the threshold have seen, whatever its name."""
        seen = [self.normals, *([self.known] if self.known is not None else [])]
        digests = {
            relative(s, self.root): d  # type: ignore[arg-type]  # files, as they come from a folder
            for images in seen
            for s, d in zip(images.sources, images.digests, strict=True)
        }
        return split_roles(self.layout, self.split(seed)[1].tolist()) | {"sha256": digests}

    def check_unseen(self, checkpoint: Path) -> None:
        """See :class:`Dataset`; a copy under another name raises a warning."""
        if run_of(checkpoint) is None:  # nothing to compare the digests with
            return
        digests = self.test.digests  # first, since it leaves out of the layout what cannot be read
        seen_before(checkpoint, self.root, dict(zip(self.test_names, digests, strict=True)))

    def __str__(self) -> str:
        held_in, held_out = self.split(0)
        known, test = len(self.layout.known), len(self.layout.test)
        left_out = f"; {self.left_out}" if self.left_out else ""
        return f"{len(held_in)} training, {len(held_out)} validation, {known} known anomalies, {test} test{left_out}"


class Videos:
    """Videos of a :class:`mnad.data.videos.VideoLayout`; whole ones are kept back for validation."""

    words = "frames"
    layout_name = "video"
    left_out = ""  # a frame that cannot be read is refused, since its clip would be another

    def __init__(self, layout: VideoLayout, images: ImageConfig, variant: Variant, root: Path) -> None:
        self.layout, self.images, self.root = layout, images, root
        self.past = past_frames(variant)
        self.labels, self.test = layout.labels, layout.test

    def split(self, seed: int) -> dict[str, list]:
        """Role -> videos."""
        held_in, held_out = split_videos(self.layout.train, self.images.validation_fraction, seed)
        return {"train": held_in, "validation": held_out}

    def sources(self, seed: int) -> dict[str, Source]:
        """See :class:`Dataset`."""
        size, memory = self.images.size, self.images.memory_gb
        return {role: Clips(videos, size, self.past, memory, role) for role, videos in self.split(seed).items()}

    def read(self) -> dict[str, object]:
        """See :class:`Dataset`; videos have no findings."""
        for video in self.test:
            if isinstance(video, FrameFolder):
                check_length(len(video), self.past, video.place)
            video.check()
        return {}

    def split_record(self, seed: int) -> dict[str, object]:
        """See :class:`Dataset`: video -> number of frames, since a single video is cut in two."""
        roles = {role: {video.name: len(video) for video in videos} for role, videos in self.split(seed).items()}
        return roles | {"test": [video.name for video in self.test]}

    def check_unseen(self, checkpoint: Path) -> None:
        """See :class:`Dataset`. Training and test videos lie in folders of their own."""

    def __str__(self) -> str:
        roles = self.split(0)
        clips = {role: sum(len(video) - self.past for video in videos) for role, videos in roles.items()}
        counts = ", ".join(f"{count} {role} clips" for role, count in clips.items())
        return f"{counts}, {len(self.test)} test videos"


def with_own_split(config: DataConfig, checkpoint: Path) -> DataConfig:
    """``config`` with the stored split of the run of ``checkpoint``, where the layout makes its own split, no option
    says how, and the images are those of the run; prints that. Else as it is."""
    if config.data is None or config.layout_options != LayoutOptions():
        return config
    name = detect_layout(config.data) if config.layout == "auto" else config.layout
    split = own_split(checkpoint, config.data) if name == "two_folders" else None
    if split is None:
        return config
    print(f"split: {split}, of the same images")
    return replace(config, layout="generic", layout_options=LayoutOptions(description=split))


def open_dataset(
    config: DataConfig,
    images: ImageConfig,
    variant: Variant,
    train: bool = True,
    checkpoint: Path | None = None,
) -> Photographs | Videos:
    """The dataset of ``config``; nothing is decoded yet. Prints what the layout has to say of its folders.

    Args:
        variant: of the model that will read it.
        train: False needs only the test.
        checkpoint: that will judge it, whose own split is taken where the layout has no test of its own.

    Raises:
        UserError: no such folder, a layout that does not fit, or a variant that cannot read it.
    """
    check_data_given(config.data, config.layout, config.layout_options, variant)
    if config.data is not None and is_video(config.data, config.layout, config.layout_options):
        if images.fit != "resize":
            raise UserError(f"images.fit: expected resize for videos, got {images.fit}")
        return Videos(read_videos(config.data, train=train), images, variant, config.data)
    if variant != "recon":
        raise UserError(f"model.variant: expected recon for photographs, got {variant}")
    root = config.data if config.data is not None else draw_wells(SYNTHETIC)
    if checkpoint is not None:
        config = with_own_split(config, checkpoint)
    layout = read_layout(root, config.layout, train=train, options=config.layout_options)
    if layout.note:
        print(f"{root}: {layout.note}")
    return Photographs(layout, images, config.layout_options.allow_mixed, config.skip_bad)
