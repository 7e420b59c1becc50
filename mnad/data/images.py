"""Reading photographs: any size, depth and channel count becomes uint8 RGB of one size, decoded once if it fits."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mnad.config import Fit
from mnad.data.hdf5 import is_member, member
from mnad.run import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")


def list_images(folder: Path) -> list[Path]:
    """Image files of ``folder`` (not below it), sorted by name.

    Raises:
        UserError: the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: missing; expected a folder of images")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
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
        UserError: missing, unreadable or empty.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected an image file") from error
    if not data:
        raise UserError(f"{path}: is empty (zero bytes); expected an image file")
    return data


def decode(data: bytes, name: object) -> np.ndarray:
    """The pixels of a file's content as OpenCV decodes them: H x W [x C], grey, BGR or BGRA, of the file's own depth.

    Raises:
        UserError: not an image.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise UserError(f"{name}: is not a readable image; expected {', '.join(SUFFIXES)}")
    return image


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


def box(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, left, height, width) of an image of ``shape`` letterboxed into ``size``, both (height, width)."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    height, width = (max(1, round(side * scale)) for side in shape)
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def fitted(image: np.ndarray, size: tuple[int, int], fit: Fit = "resize") -> np.ndarray:
    """H x W x 3 uint8 -> ``size``: stretched (:func:`resize`), or letterboxed in the middle with its edge repeated."""
    if fit == "resize":
        return resize(image, size)
    top, left, height, width = box(image.shape[:2], size)
    sides = top, size[0] - height - top, left, size[1] - width - left
    return cv2.copyMakeBorder(resize(image, (height, width)), *sides, cv2.BORDER_REPLICATE)


def repeated_edge(x: Tensor) -> Tensor:
    """How many rows at the top repeat the first, which are only there to fill: B x C x H x W -> B, 0 to H - 1.

    None where all rows are equal: such an image is not letterboxed but has nothing on it.
    """
    same = (x == x[:, :, :1]).all(dim=3).all(dim=1)  # B x H
    run = same.long().cumprod(dim=1).sum(dim=1)
    return torch.where(run == x.shape[2], 0, run - 1)


def content(x: Tensor) -> Tensor:
    """What of letterboxed images is image and not repeated edge, B x C x H x W -> B x H x W bool. The filling lies on
    both sides of the image in equal parts, up to one row or column."""
    rows, columns = torch.arange(x.shape[2], device=x.device), torch.arange(x.shape[3], device=x.device)
    inside = []
    for along, turned in ((rows, x), (columns, x.transpose(2, 3))):
        first, last = repeated_edge(turned), repeated_edge(turned.flip(2))
        first, last = torch.minimum(first, last), torch.minimum(last, first + 1)
        inside.append((along >= first[:, None]) & (along < len(along) - last[:, None]))
    return inside[0][:, :, None] & inside[1][:, None, :]


def to_input(images: np.ndarray) -> Tensor:
    """N x H x W x 3 uint8 -> N x 3 x H x W float32 in [-1, 1], the model's input."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


class Images(Sequence):
    """Images at one size: decoded once into memory as uint8, or on the fly when they would not fit.

    ``images[i]`` is one H x W x 3 uint8 array; ``images.batch(indices)`` N x H x W x 3.

    Args:
        sources: files, images inside HDF5 files, or H x W x 3 uint8 arrays of any size.
        size: (height, width) of every image.
        memory_gb: largest array to keep, in GB (10^9 bytes); beyond it every access decodes.
        name: what the progress bar says; no bar for fewer than 1,000 files.
        fit: see :func:`fitted`.

    Attributes:
        seconds: spent on reading so far.
    """

    def __init__(
        self,
        sources: "Sequence[Path | str | np.ndarray]",
        size: tuple[int, int],
        memory_gb: float = 4.0,
        name: str = "images",
        fit: Fit = "resize",
    ) -> None:
        self.fit = fit
        self.sources = [Path(source) if isinstance(source, str) else source for source in sources]
        self.size = size
        self.name = name
        self.cache: np.ndarray | None = None
        self.seconds = 0.0
        self._seen: tuple[list[str], list[bool]] | None = None
        if len(self.sources) * size[0] * size[1] * 3 <= memory_gb * 1e9:
            self.cache = np.empty((len(self.sources), *size, 3), dtype=np.uint8)
            self._read_all(self.cache)

    def _read_all(self, into: np.ndarray | None = None) -> None:
        """Open every file once: digest, grey or colour and, where asked for, the pixels."""
        started = time.perf_counter()
        digests, grey = [], []
        few = len(self.sources) < 1000
        for i, source in enumerate(tqdm(self.sources, f"decode {self.name}", disable=few, leave=False)):
            photo = read_photo(source)
            digests.append(photo.digest)
            grey.append(photo.grey)
            if into is not None:
                into[i] = fitted(photo.pixels, self.size, self.fit)
        self._seen = digests, grey
        self.seconds += time.perf_counter() - started

    @property
    def digests(self) -> list[str]:
        """SHA-256 of each image's content."""
        if self._seen is None:
            self._read_all()
        return self._seen[0]

    @property
    def grey(self) -> list[bool]:
        """Whether each image stores one channel only."""
        if self._seen is None:
            self._read_all()
        return self._seen[1]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> np.ndarray:
        if self.cache is not None:
            return self.cache[index]
        return fitted(read_photo(self.sources[index]).pixels, self.size, self.fit)

    def batch(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at ``indices``, N x H x W x 3 uint8."""
        if self.cache is not None:
            return self.cache[indices]
        started = time.perf_counter()
        found = np.stack([self[int(i)] for i in indices])
        self.seconds += time.perf_counter() - started
        return found

    def inputs(self, indices: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor]:
        """Model input and target, both N x 3 x H x W float32 in [-1, 1]; a photo's target is itself."""
        x = to_input(self.batch(indices))
        return x, x

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Images":
        """The same store seen through ``indices``; the cached pixels are copied, not decoded again."""
        part = Images([], self.size, name=self.name, fit=self.fit)
        part.sources = [self.sources[int(i)] for i in indices]
        part.cache = None if self.cache is None else self.cache[indices]
        part._seen = None if self._seen is None else tuple([of[int(i)] for i in indices] for of in self._seen)
        return part


def split(count: int, validation_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Seeded, sorted indices (train, validation) of ``count`` images; at least one image on each side.

    Raises:
        UserError: fewer than two images, or a fraction outside (0, 1).
    """
    if not 0 < validation_fraction < 1:
        raise UserError(f"validation_fraction: expected a number between 0 and 1, got {validation_fraction}")
    if count < 2:
        raise UserError(f"training images: expected at least 2, got {count} (one goes to validation)")
    order = np.random.default_rng(seed).permutation(count)
    held = min(max(1, round(count * validation_fraction)), count - 1)
    return np.sort(order[held:]), np.sort(order[:held])
