"""A folder of avatars: PNG files and, beside them, a table of their attributes."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from bayes.validation import check_style
from mnad.data.decoding import decode
from mnad.data.reading import read_bytes
from mnad.run import UserError
from mnad.run.files import read_table, write_bytes

ATTRIBUTES_FILE = "avatars.csv"
MAX_VALUES = 20_000_000  # of a picture; a generator counts in float64
MAX_TOGETHER = 500_000_000  # bytes of all pictures


def load_avatars(folder: str | Path, size: tuple[int, int] | None = None) -> tuple[np.ndarray, list[str]]:
    """Read all ``*.png`` of ``folder`` in the order of their names.

    Transparent pictures are composited on white, out = (alpha in + (255 - alpha) 255) / 255; grey ones become
    three equal channels.

    Args:
        size: (width, height) in pixels to which every picture is reduced or enlarged; None keeps their own.

    Returns:
        Images (N, H, W, 3), RGB uint8, and the N file names.

    Raises:
        UserError: no such folder, no PNG in it, a file that is no 8-bit picture, unequal sizes without ``size``, or
            more than fits into memory.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected a folder of PNG avatars")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
    if not paths:
        raise UserError(f"{folder}: no *.png in this folder; expected at least one avatar")
    images: list[np.ndarray] = []
    for path in paths:
        image = read_on_white(path)
        if size is not None:
            reduces = size[0] < image.shape[1]
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if reduces else cv2.INTER_NEAREST)
        elif image.size > MAX_VALUES:
            raise UserError(f"{path}: {image.shape[1]} x {image.shape[0]} pixels; expected fewer (--size)")
        elif images and image.shape != images[0].shape:
            (height, width), (first_height, first_width) = image.shape[:2], images[0].shape[:2]
            raise UserError(
                f"{path}: {width}x{height} pixels, but {paths[0].name} has {first_width}x{first_height}; expected "
                "equal sizes or a size for all (--size)"
            )
        images.append(image)
        if len(images) * images[0].size > MAX_TOGETHER:
            raise UserError(
                f"{folder}: more than {MAX_TOGETHER:,} bytes of pixels; expected fewer, or a smaller --size"
            )
    return np.stack(images), [path.name for path in paths]


def read_on_white(path: Path) -> np.ndarray:
    """One picture as (H, W, 3) RGB uint8, composited on white.

    Raises:
        UserError: the file cannot be read or is no picture of 8 bits per channel.
    """
    image = decode(read_bytes(path), path)
    if image.dtype != np.uint8:
        raise UserError(f"{path}: pixels of type {image.dtype}; expected a PNG picture of 8 bits per channel")
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    colour, alpha = image[..., :3].astype(np.uint16), image[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)  # at most 65,152: fits 16 bits


def load_attributes(folder: str | Path, names: Sequence[str], styles: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The attributes of the avatars ``names`` from ``avatars.csv`` in ``folder``.

    The file has a column ``file`` and one column per category of ``styles``, UTF-8.

    Returns:
        One row per name, in that order; one column per category.

    Raises:
        UserError: the file, one of its columns or a row is missing, or it holds a value that ``styles`` does
            not.
    """
    path = Path(folder) / ATTRIBUTES_FILE
    if not path.is_file():
        columns = ", ".join(styles)
        raise UserError(f"{path}: missing; expected a table with the columns file (name of each PNG), {columns}")
    table = read_table(path, {"file", *styles}, text=("file", *styles), literal=True)
    table = table.drop_duplicates("file").set_index("file")
    absent = [name for name in names if name not in table.index]
    if absent:
        raise UserError(f"{path}: no row for {absent[0]}; expected one for each PNG of the folder")
    table = table.loc[list(names), list(styles)]
    for name, row in table.iterrows():
        try:
            check_style(row, styles)
        except UserError as error:
            raise UserError(f"{path}: {name}: {error}") from None
    return table


def save_image(path: Path, image: np.ndarray) -> None:
    """Write ``image`` (H, W, 3), RGB uint8, as a PNG."""
    write_bytes(path, cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())


def parse_size(text: str) -> tuple[int, int]:
    """``"66x70"`` as (width, height) = (66, 70) in pixels.

    Raises:
        UserError: anything else than two positive numbers with an x between them, or too many pixels.
    """
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if match is None or int(match[1]) * int(match[2]) * 3 > MAX_VALUES:
        raise UserError(f"size: expected WIDTHxHEIGHT in pixels such as 66x70, got {text!r}")
    return int(match[1]), int(match[2])


def enlarge(image: np.ndarray, width: int) -> np.ndarray:
    """``image`` (H, W, C) enlarged to about ``width`` by whole pixel repetition (nearest neighbour).

    No picture is changed into another's, so the probability of the small picture is that of the large one.
    """
    factor = max(1, round(width / image.shape[1]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
