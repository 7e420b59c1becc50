"""Reading photographs: any size, depth and channel count becomes uint8 RGB of one size. Without torch."""

import hashlib
import io
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mnad.data.hdf5 import is_member, member
from mnad.data.paths import SUFFIXES
from mnad.run import UserError

MAX_PIXELS = 100_000_000
PLAIN = 64_000  # bytes of a JPEG that cannot hold too many pixels: at least one bit for 64 of them
ORIENTATION = 0x0112  # EXIF tag
COLOUR = 0.02  # on [-1, 1]; the greyest colour picture of the wells has 0.068


def list_images(folder: Path) -> list[Path]:
    """Image files of ``folder`` (not below it), sorted by name; warns of files with other endings.

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
    if not paths:
        raise UserError(f"{folder}: holds no image; expected files ending in {', '.join(SUFFIXES)}")
    return paths


def to_rgb8(image: np.ndarray, name: object) -> np.ndarray:
    """OpenCV's H x W [x C] array (grey, BGR or BGRA; 8 or 16 bit) -> H x W x 3 uint8 RGB. Alpha is laid on white.

    Raises:
        UserError: another depth or channel count.
    """
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise UserError(f"{name}: pixels of type {image.dtype}; expected 8 or 16 bit")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if channels == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if channels == 4:
        alpha = image[..., 3:].astype(np.float32) / 255
        white = image[..., :3] * alpha + 255 * (1 - alpha)
        return np.ascontiguousarray(np.rint(white).astype(np.uint8)[..., ::-1])
    raise UserError(f"{name}: {channels} channels; expected grey, RGB or RGBA")


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


def max_pixels() -> int:
    """Largest number of pixels of an image: ``MNAD_MAX_PIXELS`` of the environment, 100,000,000 without it.

    Raises:
        UserError: the variable is no whole number above 0.
    """
    text = os.environ.get("MNAD_MAX_PIXELS", str(MAX_PIXELS))
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"MNAD_MAX_PIXELS: expected a whole number above 0, got {text!r}")
    return int(text)


def header(data: bytes, name: object) -> int:
    """Check what the header says before anything is decoded; returns the EXIF orientation, 1 to 8.

    Raises:
        UserError: too many pixels, or an animation, of which one frame would be taken for all.
    """
    from PIL import Image

    limit = max_pixels()
    Image.MAX_IMAGE_PIXELS = None  # the limit above is the one that counts
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if width * height <= limit:  # else nothing of it is decoded
                frames, orientation = getattr(image, "n_frames", 1), int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # OpenCV may know the format, or says why not
        return 1
    if width * height > limit:
        raise UserError(f"{name}: {width} x {height} pixels; expected at most {limit:,} (MNAD_MAX_PIXELS)")
    if frames > 1:
        raise UserError(f"{name}: {frames} frames; expected a still image")
    return orientation


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """``image`` (H x W [x C]) turned and mirrored as the EXIF tag says; 1 and unknown values leave it as it is."""
    if orientation in (2, 4):
        image = image[:, ::-1] if orientation == 2 else image[::-1]
    elif orientation == 3:
        image = image[::-1, ::-1]
    elif orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
        flips = {5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[orientation]
        image = image[:: flips[0], :: flips[1]]
    return np.ascontiguousarray(image)


def decode(data: bytes, name: object) -> np.ndarray:
    """The pixels of a file's content as OpenCV decodes them, upright: H x W [x C], grey, BGR or BGRA, of its own depth.

    The header is looked at first wherever it can matter: a small file holds few pixels, whatever it says.

    Raises:
        UserError: not an image, cut off, or see :func:`header`.
    """
    jpeg = data.startswith(b"\xff\xd8")
    if jpeg and b"\xff\xd9" not in data[-1024:]:
        raise UserError(f"{name}: is cut off (a JPEG without its end); expected a whole image file")
    plain = jpeg and b"Exif\0" not in data[:4096] and len(data) < PLAIN
    orientation = 1 if plain else header(data, name)
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise UserError(f"{name}: is not a readable image; expected {', '.join(SUFFIXES)}")
    return image if orientation == 1 else upright(image, orientation)


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
    digest: str  # SHA-256 of the file's bytes, of the pixels of a member of an HDF5 file or of an array
    grey: bool  # whether one channel was stored


def read_photo(source: "Path | str | np.ndarray") -> Photo:
    """Read one file, one image inside an HDF5 file (:mod:`mnad.data.hdf5`), or take one array.

    Raises:
        UserError: see :func:`read_bytes`, :func:`decode`, :func:`to_rgb8`, :func:`check_array` and
            :func:`mnad.data.hdf5.member`.
    """
    if isinstance(source, np.ndarray):
        return Photo(check_array(source), hashlib.sha256(source.tobytes()).hexdigest(), False)
    path = Path(source)
    if is_member(path):
        stored = member(path)
        data, pixels = stored.tobytes(), stored if stored.ndim == 3 else cv2.cvtColor(stored, cv2.COLOR_GRAY2RGB)
    else:
        data = read_bytes(path)
        stored = decode(data, path)
        pixels = to_rgb8(stored, path)
    grey = stored.ndim == 2 or (stored.shape[2] == 4 and bool((stored[..., :3] == stored[..., :1]).all()))
    return Photo(pixels, hashlib.sha256(data).hexdigest(), grey)


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


def are_grey(images: np.ndarray) -> np.ndarray:
    """Which of N x H x W x 3 uint8 have no colour, N bool: the mean difference of the largest and the smallest channel
    is below 2.55 grey levels (0.02 on [-1, 1])."""
    red, green, blue = np.moveaxis(images, -1, 0)
    span = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return span.reshape(len(images), -1).mean(axis=1) / 127.5 < COLOUR


def is_grey(image: np.ndarray) -> bool:
    """:func:`are_grey` of one H x W x 3 uint8."""
    return bool(are_grey(image[None])[0])


def no_colour(name: str) -> str:
    """Why a picture that :func:`is_grey` has no verdict, where that rests on colour."""
    return f"{name}: has no colour; expected a photograph in colour"
