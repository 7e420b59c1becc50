"""Reading photographs: any size, depth and channel count becomes uint8 RGB of one size. Without torch."""

import hashlib
import io
import os
import re
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mnad.data.hdf5 import is_member, member
from mnad.data.paths import SUFFIXES
from mnad.run import UserError, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 100_000_000
STRIP = 1_000_000  # pixels that are converted at once
JPEG, JPEG_END = b"\xff\xd8", b"\xff\xd9"  # how the file begins and ends
ORIENTATION = 0x0112  # EXIF tag
EXIF_MARKS = (b"Exif\0", b"eXIf", b"EXIF", b"tiff:Orientation")  # of JPEG, PNG, WebP, and of XMP in any of them
ODD_COLOURS = ("CMYK", "LAB", "LA", "PA")  # that OpenCV reads from a TIFF as if they were others
# A few bytes too many before a marker come from a camera that pads, more from damage.
PADDING = re.compile("Corrupt JPEG data: [123] extraneous bytes")
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


def max_pixels() -> int:
    """Largest number of pixels of an image: ``MNAD_MAX_PIXELS`` of the environment, 100,000,000 without it.

    Raises:
        UserError: the variable is no whole number above 0.
    """
    text = os.environ.get("MNAD_MAX_PIXELS", str(MAX_PIXELS))
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"MNAD_MAX_PIXELS: expected a whole number above 0, got {text!r}")
    return int(text)


def check_pixels(width: int, height: int, name: object) -> None:
    """Raises ``UserError`` for an image of more than :func:`max_pixels`."""
    if width * height > max_pixels():
        raise UserError(f"{name}: {width} x {height} pixels; expected at most {max_pixels():,} (MNAD_MAX_PIXELS)")


def unreadable(data: bytes, name: object, reason: str) -> UserError:
    """What is wrong with an image, in one line."""
    if data.startswith(JPEG) and JPEG_END not in data[-1024:]:
        return UserError(f"{name}: is cut off (a JPEG without its end); expected a whole image file")
    return UserError(f"{name}: is not a readable image ({reason}); expected {', '.join(SUFFIXES)}")


def exif_orientation(image: "Image", data: bytes) -> int:
    """EXIF orientation, 1 to 8, of an image that Pillow has opened; 1 where there is none, or a damaged one."""
    if not any(mark in data for mark in EXIF_MARKS):  # Pillow would decode a PNG to find out
        return 1
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # whatever a damaged EXIF block makes Pillow raise
        return 1


def header(data: bytes, name: object) -> int:
    """Check what the header says before anything is decoded; returns the orientation that the decoder leaves to us.

    Raises:
        UserError: no image, a damaged PNG, too many pixels, colours that OpenCV takes for others, or an animation, of
            which one frame would be taken for all.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # the limit of check_pixels is the one that counts
    try:
        image = Image.open(io.BytesIO(data))
    except Exception as error:
        raise unreadable(data, name, "no known format, or a damaged header") from error
    with image:
        check_pixels(*image.size, name)
        try:
            frames = getattr(image, "n_frames", 1)
            orientation = 1 if image.format == "TIFF" else exif_orientation(image, data)  # OpenCV turns a TIFF itself
            if image.format == "PNG":
                image.verify()  # the checksums of its parts
        except Exception as error:
            raise unreadable(data, name, "damaged") from error
        if frames > 1 and image.format != "MPO":  # a JPEG with others behind it, such as a preview
            raise UserError(f"{name}: {frames} frames; expected a still image")
        if image.format == "TIFF" and image.mode in ODD_COLOURS:
            raise UserError(f"{name}: a TIFF in {image.mode}; expected grey, RGB or RGBA")
    return orientation


def decode_jpeg(data: bytes, name: object) -> tuple[np.ndarray, int] | None:
    """Pixels, H x W or H x W x 3 BGR, and EXIF orientation of a JPEG; None where libjpeg-turbo does not know its form.

    OpenCV would only print that a part cannot be decoded, of an image without a name. What follows the image, such as
    a film of it or a second image with its brightness, is not looked at.

    Raises:
        UserError: cut off, damaged, or too many pixels.
    """
    import simplejpeg
    from PIL import Image

    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    check_pixels(width, height, name)
    kind = "GRAY" if space == "Gray" else "BGR"
    try:
        pixels = simplejpeg.decode_jpeg(data, kind)
    except ValueError as error:
        if PADDING.match(str(error)) is None:
            what = "cut off" if "Premature end of JPEG file" in str(error) else "damaged"
            raise UserError(f"{name}: is {what} ({one_line(error)}); expected a whole image file") from error
        pixels = simplejpeg.decode_jpeg(data, kind, strict=False)
    orientation = 1
    if any(mark in data for mark in EXIF_MARKS):
        with Image.open(io.BytesIO(data)) as image:
            orientation = exif_orientation(image, data)
    return pixels[..., 0] if kind == "GRAY" else pixels, orientation


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
    else:
        return image
    return np.ascontiguousarray(image)


def decode(data: bytes, name: object) -> np.ndarray:
    """The pixels of a file's content as it stores them, but upright: H x W [x C], grey, BGR or BGRA, 8 bit or more.

    Raises:
        UserError: not an image, cut off, or see :func:`header` and :func:`decode_jpeg`.
    """
    decoded = decode_jpeg(data, name) if data.startswith(JPEG) else None
    if decoded is not None:
        return upright(*decoded)
    orientation = header(data, name)
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise unreadable(data, name, "damaged or cut off")
    return upright(image, orientation)


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
    grey = stored.ndim == 2 or (
        stored.shape[2] == 4 and all(bool((stored[..., 0] == stored[..., c]).all()) for c in (1, 2))
    )
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


def is_grey(image: np.ndarray) -> bool:
    """Whether H x W x 3 uint8 has no colour: the mean difference of its largest and smallest channel is below 2.55
    grey levels (0.02 on [-1, 1])."""
    return float((image.max(axis=2).astype(np.float32) - image.min(axis=2)).mean()) / 127.5 < COLOUR


def no_colour(name: str) -> str:
    """Why a picture that :func:`is_grey` has no verdict, where that rests on colour."""
    return f"{name}: has no colour; expected a photograph in colour"
