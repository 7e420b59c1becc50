"""Reading photographs: any size, depth and channel count becomes uint8 RGB of one size. Without torch."""

import contextlib
import hashlib
import stat
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mnad.data.decoding import decode, read_header
from mnad.data.hdf5 import is_member, member
from mnad.data.paths import SUFFIXES
from mnad.run import UserError

STRIP = 1_000_000  # pixels that are converted at once
LARGE = 20_000_000  # pixels of an image from which on it has the memory for itself
ONE_AT_A_TIME = threading.Lock()
VIEW = 480  # longer side of a photograph that is shown to people, in pixels
COLOUR = 0.02  # on [-1, 1]; the greyest colour picture of the wells has 0.068


def list_images(folder: Path) -> list[Path]:
    """Image files of ``folder`` (not below it), sorted by name; warns of folders in it and of files with other endings.

    Raises:
        UserError: the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: missing; expected a folder of images")
    seen = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    paths = [p for p in seen if p.suffix.lower() in SUFFIXES]
    others = [p for p in seen if p.suffix.lower() not in SUFFIXES and p.is_file()]
    if others:
        warnings.warn(f"{folder}: passed over {len(others)} files of other endings (first: {others[0]})", stacklevel=2)
    inner = [p for p in seen if p.is_dir() and p not in paths]
    if inner:
        warnings.warn(f"{folder}: passed over {len(inner)} folders in it (first: {inner[0]})", stacklevel=2)
    if not paths:
        raise UserError(f"{folder}: holds no image; expected files ending in {', '.join(SUFFIXES)}")
    return paths


def to_rgb8(image: np.ndarray, name: object) -> np.ndarray:
    """OpenCV's H x W [x C] array (grey, BGR or BGRA; 8 or 16 bit) -> H x W x 3 uint8 RGB. Alpha is laid on white.

    Raises:
        UserError: another depth or channel count.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{name}: pixels of type {image.dtype}; expected 8 or 16 bit")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels not in (1, 3, 4):
        raise UserError(f"{name}: {channels} channels; expected grey, RGB or RGBA")
    rgb = np.empty((*image.shape[:2], 3), dtype=np.uint8)
    step = max(1, STRIP // image.shape[1])
    for top in range(0, len(image), step):  # a few rows at a time, so that a large image is not there several times
        rgb[top : top + step] = strip_to_rgb8(image[top : top + step], channels)
    return rgb


def strip_to_rgb8(image: np.ndarray, channels: int) -> np.ndarray:
    """:func:`to_rgb8` of a few rows."""
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    if channels < 4:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if channels == 1 else cv2.COLOR_BGR2RGB)
    alpha = image[..., 3:].astype(np.float32) / 255
    white = image[..., :3] * alpha + 255 * (1 - alpha)
    return np.rint(white).astype(np.uint8)[..., ::-1]


def read_bytes(path: Path) -> bytes:
    """The content of one file.

    Raises:
        UserError: missing, unreadable, empty, or no regular file (a pipe would be waited for without end).
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path}: is no regular file; expected an image file")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected an image file") from error
    except ValueError as error:  # a zero byte in the name
        raise UserError(f"{str(path)!r}: cannot be a file name ({error}); expected an image file") from error
    if not data:
        raise UserError(f"{path}: is empty (zero bytes); expected an image file")
    return data


def check_array(image: np.ndarray, name: object = "image") -> np.ndarray:
    """``image`` if it is H x W x 3 uint8.

    Raises:
        UserError: another shape or type, such as floats from 0 to 1.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"{name}: expected H x W x 3 uint8 (RGB, 0 to 255), got {found}")
    return image


@dataclass
class Photo:
    """One image as it was read; the file is opened once for all of it."""

    pixels: np.ndarray  # H x W x 3 uint8 RGB, of its own size
    grey: bool  # whether one channel was stored
    digest: str  # SHA-256 of the file's bytes, of the pixels of a member of an HDF5 file or of an array


def read_pixels(data: bytes, name: object) -> tuple[np.ndarray, bool]:
    """H x W x 3 uint8 RGB from the content of one file, and whether it stores one channel.

    Of large images one is decoded at a time, whatever the number of threads, so that they fit into memory.

    Raises:
        UserError: see :func:`mnad.data.decoding.decode` and :func:`to_rgb8`.
    """
    header = read_header(data, name)
    with ONE_AT_A_TIME if header.pixels > LARGE else contextlib.nullcontext():
        stored = decode(data, name, header)
        # one channel and alpha come as four channels
        grey = stored.ndim == 2 or (
            stored.shape[2] == 4 and all(np.array_equal(stored[..., 0], stored[..., c]) for c in (1, 2))
        )
        return to_rgb8(stored, name), grey


def read_photo(source: "Path | str | np.ndarray") -> Photo:
    """Read one file, one image inside an HDF5 file (:mod:`mnad.data.hdf5`), or take one array.

    Raises:
        UserError: see :func:`read_bytes`, :func:`read_pixels`, :func:`check_array` and
            :func:`mnad.data.hdf5.member`.
    """
    if isinstance(source, np.ndarray):
        return Photo(check_array(source), False, hashlib.sha256(source.tobytes()).hexdigest())
    path = Path(source)
    if is_member(path):
        stored = member(path)
        pixels = stored if stored.ndim == 3 else cv2.cvtColor(stored, cv2.COLOR_GRAY2RGB)
        return Photo(pixels, stored.ndim == 2, hashlib.sha256(stored.tobytes()).hexdigest())
    data = read_bytes(path)
    return Photo(*read_pixels(data, path), hashlib.sha256(data).hexdigest())


def read_image(path: Path) -> np.ndarray:
    """The pixels of one image, H x W x 3 uint8 RGB; see :func:`read_photo`."""
    return read_photo(path).pixels


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """H x W x 3 uint8 -> ``size`` = (height, width); area averaging when shrinking, bilinear when growing."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def small(picture: np.ndarray, longest: int = VIEW) -> np.ndarray:
    """H x W x 3 uint8 with its longer side at most ``longest`` pixels, never enlarged; see :func:`resize`."""
    scale = longest / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return resize(picture, tuple(max(1, round(side * scale)) for side in picture.shape[:2]))


def are_grey(images: np.ndarray) -> np.ndarray:
    """Which of N x H x W x 3 uint8 have no colour, N bool: the mean difference of the largest and the smallest channel
    is below 2.55 grey levels (0.02 on [-1, 1])."""
    red, green, blue = np.moveaxis(images, -1, 0)
    span = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return span.reshape(len(images), -1).mean(axis=1) / 127.5 < COLOUR


def no_colour(name: str) -> str:
    """Why a picture of :func:`are_grey` has no verdict, where that rests on colour."""
    return f"{name}: has no colour; expected a photograph in colour"
