"""Clips of consecutive frames as a training source; no clip crosses a video's border."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnad.config import PAST_FRAMES, ImageConfig, Variant, past_frames
from mnad.data.images import Images, to_input
from mnad.data.reading import check_array
from mnad.data.source import Source
from mnad.data.videos import FrameFolder
from mnad.run import UserError


def clip_input(frames: Tensor) -> tuple[Tensor, Tensor]:
    """B x (P + 1) x 3 x H x W -> input B x 3P x H x W, oldest frame first, and target B x 3 x H x W, the last frame.

    Reconstruction has P = 0: the one frame is input and target.
    """
    target = frames[:, -1]
    x = frames[:, :-1].flatten(1, 2) if frames.shape[1] > 1 else target
    # this memory order makes the convolutions about a third faster on a CPU
    return x.contiguous(memory_format=torch.channels_last), target


def check_length(count: int, past: int, name: object) -> None:
    """Raises ``UserError`` if ``count`` frames hold no clip."""
    if count <= past:
        raise UserError(f"{name}: {count} frames; expected at least {past + 1} ({past} past frames and the target)")


class Windows:
    """Clips that are in memory already; a :class:`mnad.data.source.Source`.

    Args:
        frames: N x (P + 1) x H x W x 3 uint8, oldest frame first; P = 0 for photographs.
    """

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def inputs(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """See :class:`Clips`."""
        frames = self.frames[indices]
        return clip_input(to_input(frames.reshape(-1, *frames.shape[2:])).unflatten(0, frames.shape[:2]))


class Clips:
    """All clips of some videos; a :class:`mnad.data.source.Source`.

    Args:
        videos: folders of frames.
        size: (height, width) of every frame.
        past: frames before the target; 0 makes every frame its own target.
        memory_gb: largest array of decoded frames to keep; beyond it frames are decoded when they are asked for.
        name: what the progress bar says.

    Raises:
        UserError: a video shorter than a clip, or an unreadable frame.
    """

    def __init__(
        self,
        videos: Sequence[FrameFolder],
        size: tuple[int, int],
        past: int = PAST_FRAMES,
        memory_gb: float = 4.0,
        name: str = "frames",
    ) -> None:
        self.past = past
        targets, start = [], 0
        self.lengths = [len(video) - past for video in videos]  # clips of each video
        for video in videos:
            check_length(len(video), past, video.place)
            targets.append(np.arange(start + past, start + len(video)))
            start += len(video)
        self.targets = np.concatenate(targets)  # index of each clip's last frame among the frames of all videos
        self.images = Images([path for video in videos for path in video.paths], size, memory_gb, name)

    def __len__(self) -> int:
        return len(self.targets)

    def inputs(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Model input B x 3P x H x W (B x 3 x H x W for P = 0) and target B x 3 x H x W, float32 in [-1, 1]."""
        wanted = self.targets[indices][:, None] + np.arange(-self.past, 1)  # B x (P + 1)
        frames = to_input(self.images.batch(wanted.reshape(-1)))
        return clip_input(frames.unflatten(0, wanted.shape))


def split_videos(
    videos: Sequence[FrameFolder], validation_fraction: float, seed: int
) -> tuple[list[FrameFolder], list[FrameFolder]]:
    """Whole videos for training and for validation, since neighbouring frames are near copies of each other.

    At least one video on each side; a single video is cut in time instead, its end is for validation.

    Raises:
        UserError: a fraction outside (0, 1), or a single video of fewer than two frames.
    """
    if not 0 < validation_fraction < 1:
        raise UserError(f"validation_fraction: expected a number between 0 and 1, got {validation_fraction}")
    if len(videos) == 1:
        name, paths = videos[0].name, videos[0].paths
        if len(paths) < 2:
            where, count = (paths[0].parent, "1 frame") if paths else (name, "0 frames")
            raise UserError(f"{where}: expected at least 2, got {count}, to hold one out")
        cut = min(max(1, round(len(paths) * (1 - validation_fraction))), len(paths) - 1)
        return [FrameFolder(name, paths[:cut])], [FrameFolder(name, paths[cut:])]
    held = min(max(1, round(len(videos) * validation_fraction)), len(videos) - 1)
    chosen = set(np.random.default_rng(seed).permutation(len(videos))[:held].tolist())
    train = [video for i, video in enumerate(videos) if i not in chosen]
    return train, [videos[i] for i in sorted(chosen)]


def check_frames(images: np.ndarray, size: tuple[int, int]) -> None:
    """Raises ``UserError`` unless ``images`` is N x H x W x 3 uint8 of ``size`` = (H, W)."""
    found = (images.dtype, images.shape[1:]) if isinstance(images, np.ndarray) else (type(images).__name__, ())
    if found != (np.uint8, (*size, 3)):
        raise UserError(
            f"images: {found[0]} of shape {getattr(images, 'shape', None)}; expected N x {size[0]} x {size[1]} x 3 "
            f"uint8"
        )


def as_source(images: Any, config: ImageConfig, variant: Variant, name: str = "images") -> Source:
    """``images`` as what a model of ``variant`` reads.

    Args:
        images: a source already; or files and H x W x 3 uint8 arrays of any size: photographs, for the prediction
            variant the frames of one video in their order (the first four have no prediction).

    Raises:
        UserError: another type of pixels, an unreadable file, or too few frames.
    """
    if hasattr(images, "inputs"):
        return images
    past = past_frames(variant)
    if isinstance(images, np.ndarray) and images.ndim != 4:
        check_array(images, "images")  # names what is wrong with it ...
        raise UserError(f"images: one image of shape {images.shape}; expected N x H x W x 3")  # ... or with N
    if isinstance(images, str | Path):
        raise UserError(f"images: expected a list of files or arrays, got {str(images)!r}")
    items = list(images)
    if past:
        return Clips([FrameFolder(name, tuple(items))], config.size, past, config.memory_gb, name)
    return Images(items, config.size, config.memory_gb, name, config.fit)
