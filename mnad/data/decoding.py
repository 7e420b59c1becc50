"""From the bytes of a file to its pixels: the header first, then a decoder that tells damage, the right way up."""

import io
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mnad.data.paths import SUFFIXES
from mnad.run import UserError, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 100_000_000
JPEG, JPEG_END = b"\xff\xd8", b"\xff\xd9"  # how the file begins and ends
ORIENTATION, BITS_PER_SAMPLE = 0x0112, 0x0102  # tags of EXIF and TIFF
EXIF_MARKS = (b"Exif\0", b"eXIf", b"EXIF", b"tiff:Orientation")  # of JPEG, PNG, WebP, and of XMP in any of them
ODD_COLOURS = ("CMYK", "LAB", "LA", "PA")  # that OpenCV reads from a TIFF as if they were others
# A few bytes too many before a marker come from a camera that pads, more from damage.
PADDING = re.compile("Corrupt JPEG data: [123] extraneous bytes")


def max_pixels() -> int:
    """Largest number of pixels of an image: ``MNAD_MAX_PIXELS`` of the environment, 100,000,000 without it.

    Raises:
        UserError: the variable is no whole number above 0.
    """
    text = os.environ.get("MNAD_MAX_PIXELS", str(MAX_PIXELS))
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"MNAD_MAX_PIXELS: expected a whole number above 0, got {text!r}")
    return int(text)


def check_pixels(width: int, height: int, name: object, deep: bool = False) -> None:
    """Raises ``UserError`` for an image of more than :func:`max_pixels`, or half as many where each has 16 bits or more
    (``deep``) and takes twice the memory."""
    most, of = (max_pixels() // 2, " of 16 bit") if deep else (max_pixels(), "")
    if width * height > most:
        raise UserError(f"{name}: {width} x {height} pixels{of}; expected at most {most:,} (MNAD_MAX_PIXELS)")


def is_deep(image: "Image", data: bytes) -> bool:
    """Whether a value of the PNG or TIFF that Pillow has opened takes more than 8 bits; its mode does not tell."""
    if image.format == "TIFF":
        return max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))) > 8  # type: ignore[attr-defined]
    return image.format == "PNG" and data[24] == 16


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


@dataclass(frozen=True)
class Header:
    """What a file says of its image before anything is decoded.

    Attributes:
        pixels: width times height.
        orientation: EXIF, 1 to 8, as far as the decoder leaves it to us.
        jpeg: colour space of a JPEG that libjpeg-turbo knows; empty for everything that OpenCV decodes.
    """

    pixels: int
    orientation: int
    jpeg: str = ""


def read_header(data: bytes, name: object) -> Header:
    """The header, checked.

    Raises:
        UserError: no image, a damaged PNG, too many pixels, colours that OpenCV takes for others, or an animation, of
            which one frame would be taken for all.
    """
    from PIL import Image

    found = jpeg_header(data, name) if data.startswith(JPEG) else None
    if found is not None:
        return found
    Image.MAX_IMAGE_PIXELS = None  # the limit of check_pixels is the one that counts
    try:
        image = Image.open(io.BytesIO(data))
    except Exception as error:
        raise unreadable(data, name, "no known format, or a damaged header") from error
    with image:
        try:
            deep = is_deep(image, data)
        except Exception as error:
            raise unreadable(data, name, "damaged") from error
        check_pixels(*image.size, name, deep)  # before anything below reads more of the file
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
        return Header(image.width * image.height, orientation)


def jpeg_header(data: bytes, name: object) -> Header | None:
    """The header of a JPEG, checked; None where libjpeg-turbo does not know its form.

    What follows the image, such as a film of it or a second image with its brightness, is not looked at.

    Raises:
        UserError: too many pixels.
    """
    import simplejpeg
    from PIL import Image

    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    check_pixels(width, height, name)
    orientation = 1
    if any(mark in data for mark in EXIF_MARKS):
        try:
            with Image.open(io.BytesIO(data)) as image:
                orientation = exif_orientation(image, data)
        except Exception:  # Pillow may refuse what libjpeg-turbo reads
            orientation = 1
    return Header(width * height, orientation, space)


def decode_jpeg(data: bytes, name: object, space: str) -> np.ndarray:
    """H x W or H x W x 3 BGR. OpenCV would only print that a part cannot be decoded, of an image without a name.

    Raises:
        UserError: cut off or damaged.
    """
    import simplejpeg

    kind = "GRAY" if space == "Gray" else "BGR"
    try:
        pixels = simplejpeg.decode_jpeg(data, kind)
    except ValueError as error:
        if PADDING.match(str(error)) is None:
            what = "cut off" if "Premature end of JPEG file" in str(error) else "damaged"
            raise UserError(f"{name}: is {what} ({one_line(error)}); expected a whole image file") from error
        pixels = simplejpeg.decode_jpeg(data, kind, strict=False)
    return pixels[..., 0] if kind == "GRAY" else pixels


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


def decode(data: bytes, name: object, header: Header | None = None) -> np.ndarray:
    """The pixels of a file's content as it stores them, but upright: H x W [x C], grey, BGR or BGRA, 8 bit or more.

    Args:
        header: if :func:`read_header` has read it already.

    Raises:
        UserError: not an image, cut off, or see :func:`read_header` and :func:`decode_jpeg`.
    """
    header = header or read_header(data, name)
    if header.jpeg:
        return upright(decode_jpeg(data, name, header.jpeg), header.orientation)
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise unreadable(data, name, "damaged or cut off")
    return upright(image, header.orientation)
