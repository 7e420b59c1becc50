"""Reading photographs: any size, depth and channel count becomes uint8 RGB of one size, decoded once if it fits."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mnad.data.hdf5 import is_member, member
from mnad.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")


def list_images(folder: Path) -> list[Path]:
    """Image files of ``folder`` (not below it), sorted by name.

    Raises:
        UserError: the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: missing; a folder of images was expected")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not paths:
        raise UserError(f"{folder}: holds no image; files ending in {', '.join(SUFFIXES)} were expected")
    return paths


def to_rgb8(image: np.ndarray, name: object) -> np.ndarray:
    """OpenCV's H x W [x C] array (grey, BGR or BGRA; 8 or 16 bit) -> H x W x 3 uint8 RGB. Alpha is laid on white.

    Raises:
        UserError: another depth or channel count.
    """
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise UserError(f"{name}: pixels of type {image.dtype}; 8 or 16 bit was expected")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if channels == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if channels == 4:
        alpha = image[..., 3:].astype(np.float32) / 255
        white = image[..., :3] * alpha + 255 * (1 - alpha)
        return np.ascontiguousarray(np.rint(white).astype(np.uint8)[..., ::-1])
    raise UserError(f"{name}: {channels} channels; grey, RGB or RGBA was expected")


def decode(path: Path) -> np.ndarray:
    """The pixels of one file as OpenCV decodes them: H x W [x C], grey, BGR or BGRA, of the file's own depth.

    Raises:
        UserError: missing, unreadable, empty or not an image.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); an image file was expected") from error
    if data.size == 0:
        raise UserError(f"{path}: is empty (zero bytes); an image file was expected")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise UserError(f"{path}: is not a readable image; {', '.join(SUFFIXES)} was expected")
    return image


def read_image(path: Path) -> np.ndarray:
    """Decode one file, or one image inside an HDF5 file, to H x W x 3 uint8 RGB.

    Raises:
        UserError: see :func:`decode` and :func:`to_rgb8`; :func:`mnad.data.hdf5.member`.
    """
    if is_member(path):
        pixels = member(path)
        return pixels if pixels.ndim == 3 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return to_rgb8(decode(path), path)


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """H x W x 3 uint8 -> ``size`` = (height, width); area averaging when shrinking, bilinear when growing."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def to_input(images: np.ndarray) -> Tensor:
    """N x H x W x 3 uint8 -> N x 3 x H x W float32 in [-1, 1], the model's input."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


class Images(Sequence):
    """Image files at one size: decoded once into memory as uint8, or on the fly when they would not fit.

    ``images[i]`` is one H x W x 3 uint8 array; ``images.batch(indices)`` N x H x W x 3.

    Args:
        paths: files.
        size: (height, width) of every image.
        memory_gb: largest array to keep, in GB (10^9 bytes); beyond it every access decodes.
        name: what the progress bar says; no bar for fewer than 1,000 files.
    """

    def __init__(
        self, paths: Sequence[Path], size: tuple[int, int], memory_gb: float = 4.0, name: str = "images"
    ) -> None:
        self.paths = list(paths)
        self.size = size
        self.name = name
        self.cache: np.ndarray | None = None
        if len(self.paths) * size[0] * size[1] * 3 <= memory_gb * 1e9:
            self.cache = np.empty((len(self.paths), *size, 3), dtype=np.uint8)
            for i, path in enumerate(tqdm(self.paths, f"decode {name}", disable=len(self.paths) < 1000, leave=False)):
                self.cache[i] = resize(read_image(path), size)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        if self.cache is not None:
            return self.cache[index]
        return resize(read_image(self.paths[index]), self.size)

    def batch(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at ``indices``, N x H x W x 3 uint8."""
        if self.cache is not None:
            return self.cache[indices]
        return np.stack([self[int(i)] for i in indices])

    def inputs(self, indices: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor]:
        """Model input and target, both N x 3 x H x W float32 in [-1, 1]; a photo's target is itself."""
        x = to_input(self.batch(indices))
        return x, x

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Images":
        """The same store seen through ``indices``; the cached pixels are copied, not decoded again."""
        part = Images.__new__(Images)
        part.paths = [self.paths[int(i)] for i in indices]
        part.size, part.name = self.size, self.name
        part.cache = None if self.cache is None else self.cache[indices]
        return part


def split(count: int, validation_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Seeded, sorted indices (train, validation) of ``count`` images; at least one image on each side.

    Raises:
        UserError: fewer than two images, or a fraction outside (0, 1).
    """
    if not 0 < validation_fraction < 1:
        raise UserError(f"validation_fraction: {validation_fraction}; a number between 0 and 1 was expected")
    if count < 2:
        raise UserError(f"training images: {count}; at least 2 were expected (one goes to validation)")
    order = np.random.default_rng(seed).permutation(count)
    held = min(max(1, round(count * validation_fraction)), count - 1)
    return np.sort(order[held:]), np.sort(order[:held])
