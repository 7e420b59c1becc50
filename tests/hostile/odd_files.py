"""Files that are not what they seem, made from a small photograph."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def picture(seed: int = 0, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    """Smooth colours, H x W x 3 uint8."""
    small = np.random.default_rng(seed).integers(0, 255, (5, 8, 3), dtype=np.uint8)
    return cv2.resize(small, size[::-1])


def encoded(kind="jpeg", image: np.ndarray | Image.Image | None = None, orientation=0, **options: object) -> bytes:
    """The bytes of an image file; ``orientation`` is the EXIF tag, 0 leaves it out."""
    buffer = io.BytesIO()
    if orientation:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    made = image if isinstance(image, Image.Image) else Image.fromarray(picture() if image is None else image)
    made.save(buffer, kind, **options)
    return buffer.getvalue()


def changed(data: bytes, at: float, by: bytes) -> bytes:
    """``data`` with ``by`` written over it at the share ``at`` of its length."""
    place = int(len(data) * at)
    return data[:place] + by + data[place + len(by) :]


def chunk(name: bytes, content: bytes) -> bytes:
    """One part of a PNG with its checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int = 8, colour: int = 2, pixels: bytes = b"", extra: bytes = b"") -> bytes:
    """A PNG of any header; ``pixels`` are compressed, ``extra`` chunks go before them."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def zeros(width: int, height: int, depth: int = 8, channels: int = 3) -> bytes:
    """A PNG of zeros, whole and valid, compressed a piece at a time."""
    row = bytes(1 + width * channels * depth // 8)
    packer, packed = zlib.compressobj(9), bytearray()
    for _ in range(height):
        packed += packer.compress(row)
    packed += packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", bytes(packed)) + chunk(b"IEND", b"")


def animation(kind: str) -> bytes:
    """Three frames."""
    frames = [Image.fromarray(picture(i)) for i in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG whose header says another size than it has."""
    data = bytearray(encoded("jpeg"))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_of_size(width: int, height: int) -> bytes:
    """A BMP whose header says another size than it has."""
    data = bytearray(encoded("bmp"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


JPEG = encoded("jpeg", quality=90)
PNG = encoded("png")
WEBP = encoded("webp")
TIFF = encoded("tiff")
PADDED = JPEG[:-2] + b"\x00\x00" + JPEG[-2:]

# name -> (content, what scoring says of it: "" if it has a verdict)
IMAGES: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", "is empty"),
    "text.jpg": (b"no picture\n" * 30, "is not a readable image"),
    "zeros.jpg": (bytes(5000), "is not a readable image"),
    "signature_alone.png": (PNG[:8], "is not a readable image"),
    "signature_alone.jpg": (JPEG[:2], "is cut off"),
    "html.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "is not a readable image"),
    "zip.png": (b"PK\x03\x04" + bytes(200), "is not a readable image"),
    # cut off
    "half.jpg": (JPEG[: len(JPEG) // 2], "is cut off"),
    "without_end.jpg": (JPEG[:-2], "is cut off"),
    "half.png": (PNG[: len(PNG) // 2], "is not a readable image"),
    "without_end.png": (PNG[:-12], "is not a readable image"),
    "half.webp": (WEBP[: len(WEBP) // 2], "is not a readable image"),
    "half.bmp": (encoded("bmp")[:9000], "is not a readable image"),
    "half.tif": (TIFF[: len(TIFF) // 2], "is not a readable image"),
    # damaged
    "overwritten.jpg": (changed(JPEG, 0.75, bytes(40)), "is damaged (Corrupt JPEG data"),
    "end_inside.jpg": (changed(JPEG, 0.8, b"\xff\xd9"), "is damaged (Corrupt JPEG data"),
    "restart_inside.jpg": (changed(JPEG, 0.7, b"\xff\xd3"), "is damaged (Corrupt JPEG data"),
    "flipped.png": (changed(PNG, 0.5, bytes([PNG[len(PNG) // 2] ^ 1])), "is not a readable image"),
    "bad_zlib.png": (PNG[:33] + chunk(b"IDAT", b"no deflate") + chunk(b"IEND", b""), "is not a readable image"),
    "no_pixels.png": (png(96, 64), "is not a readable image"),
    "lossy_flipped.webp": (changed(WEBP, 0.02, b"\xff\xff\xff"), "is not a readable image"),
    # whole, but unusual
    "padded.jpg": (PADDED, ""),
    "film_behind.jpg": (JPEG + bytes(5000), ""),
    "preview_behind.jpg": (encoded("mpo", save_all=True, append_images=[Image.fromarray(picture(1))]), ""),
    "progressive.jpg": (encoded("jpeg", progressive=True), ""),
    "odd_sampling.jpg": (encoded("jpeg", subsampling=0), ""),
    "cmyk.jpg": (encoded("jpeg", Image.fromarray(picture()).convert("CMYK")), ""),
    "photograph.jfif": (JPEG, ""),
    "photograph.webp": (WEBP, ""),
    "png_named.jpg": (PNG, ""),
    "turned.jpg": (encoded("jpeg", orientation=6), ""),
    "turned.png": (encoded("png", orientation=8), ""),
    "turned.tif": (encoded("tiff", orientation=3), ""),
    "bad_exif.jpg": (encoded("jpeg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(20)), ""),
    "bad_exif.png": (png(96, 64, pixels=bytes(64 * 289), extra=chunk(b"eXIf", b"MM\0*\xff\xff")), "has no colour"),
    "sixteen_bit.png": (cv2.imencode(".png", picture().astype(np.uint16) * 257)[1].tobytes(), ""),
    "transparent.png": (encoded("png", np.dstack([picture(), picture(1)[..., 0]])), ""),
    "palette.png": (encoded("png", Image.fromarray(picture()).quantize(16)), ""),
    "grey.png": (encoded("png", picture()[..., 0]), "has no colour"),
    "grey_alpha.png": (encoded("png", Image.fromarray(picture()).convert("LA")), "has no colour"),
    "bilevel.png": (encoded("png", Image.fromarray(picture()).convert("1")), "has no colour"),
    "one_pixel.png": (encoded("png", np.full((1, 1, 3), (200, 30, 30), np.uint8)), ""),
    "strip.png": (encoded("png", picture(size=(2, 9000))), ""),
    # refused for what they are
    "animation.png": (animation("png"), "3 frames; expected a still image"),
    "animation.webp": (animation("webp"), "3 frames; expected a still image"),
    "pages.tif": (animation("tiff"), "3 frames; expected a still image"),
    "floats.tif": (cv2.imencode(".tif", picture()[..., 0].astype(np.float32))[1].tobytes(), "pixels of type float32"),
    "many_floats.tif": (cv2.imencode(".tif", picture().astype(np.float32))[1].tobytes(), "is not a readable image"),
    "cmyk.tif": (encoded("tiff", Image.fromarray(picture()).convert("CMYK")), "a TIFF in CMYK"),
    "grey_alpha.tif": (encoded("tiff", Image.fromarray(picture()).convert("LA")), "a TIFF in LA"),
    "no_size.png": (png(0, 0, pixels=b"\0"), "is not a readable image"),
    # larger than they look
    "bomb.png": (png(30_000, 30_000, pixels=bytes(1000)), "30000 x 30000 pixels; expected at most 100,000,000"),
    "bomb.jpg": (jpeg_of_size(65_000, 65_000), "65000 x 65000 pixels; expected at most"),
    "bomb.bmp": (bmp_of_size(60_000, 60_000), "60000 x 60000 pixels; expected at most"),
    "deep_bomb.png": (png(10_000, 10_000, 16, 6, bytes(1000)), "pixels of 16 bit; expected at most 50,000,000"),
    "upside_down.bmp": (bmp_of_size(96, -64), ""),
    "endless.bmp": (bmp_of_size(2**31 - 1, 2**31 - 1), "pixels; expected at most"),
}

LARGE: dict[str, Callable[[], bytes]] = {  # within the limit: 100 million pixels of the kinds that need most memory
    "grey": lambda: zeros(10_000, 10_000, 8, 1),
    "rgb": lambda: zeros(10_000, 10_000, 8, 3),
    "rgba": lambda: zeros(10_000, 10_000, 8, 4),
    "rgba_16_bit": lambda: zeros(10_000, 5_000, 16, 4),
}


def write_all(folder: Path) -> Path:
    """Every image of ``IMAGES`` into ``folder``, which it returns."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (content, _) in IMAGES.items():
        (folder / name).write_bytes(content)
    return folder
