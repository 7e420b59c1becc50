"""The size at which photographs are read where the configuration leaves it to the data.

A small defect on a large photograph fills few pixels of a small copy: the larger the photographs, the larger the copy.
"""

from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np

from mnad.config import DataConfig
from mnad.data.hdf5 import is_member
from mnad.data.layouts import is_video, read_layout
from mnad.data.reading import read_photo
from mnad.run import UserError

Config = TypeVar("Config", bound=DataConfig)

SIDE, LARGE_SIDE = 224, 320  # pixels of the square copies
LARGE = 448  # pixels of the shorter side, in the median, from which on the copies are large: twice the usual copy
SAMPLE = 100  # training images that are looked at


def shorter_side(path: Path) -> int | None:
    """Pixels of the shorter side, from the file's header; None for a file without a readable one (which reading
    refuses later)."""
    from PIL import Image

    try:
        if is_member(path):
            return min(read_photo(path).pixels.shape[:2])
        with Image.open(path) as image:
            return min(image.size)
    except Exception:
        return None


def follow_data(config: Config) -> Config:
    """``config`` with the size of its ``images`` by the training images, where height and width are 0: 224 x 224, or
    320 x 320 where the median of their shorter sides is at least 448 pixels. Prints what it took.

    Raises:
        UserError: videos, whose size has to be given; or see :func:`mnad.data.layouts.read_layout`.
    """
    images = config.images  # type: ignore[attr-defined]
    if images.height:
        return config
    if config.data is None:  # refused or drawn later
        return replace(config, images=replace(images, height=SIDE, width=SIDE))  # type: ignore[call-arg]
    if is_video(config.data, config.layout, config.layout_options):
        raise UserError("images.height: 0 follows photographs; expected a number of pixels for videos")
    paths = read_layout(config.data, config.layout, test=False, options=config.layout_options).train
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), SAMPLE)).astype(int))
    sides = [side for side in (shorter_side(paths[i]) for i in chosen) if side is not None]
    typical = median(sides) if sides else 0
    side = LARGE_SIDE if typical >= LARGE else SIDE
    print(
        f"images: {side} x {side} pixels, since the shorter side of the training images is {typical:g} pixels in the "
        "median (--images.height and --images.width take another size)"
    )
    return replace(config, images=replace(images, height=side, width=side))  # type: ignore[call-arg]
