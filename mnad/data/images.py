"""Photographs as a source: read to one size, decoded once if they fit into memory; and their split."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mnad.config import Fit
from mnad.data.reading import Photo, are_grey, read_photo, resize
from mnad.run import UserError
from mnad.run.ahead import ahead

TOGETHER = 64  # files that one thread reads in one go
EMPTY = np.zeros((0, 0, 3), np.uint8)  # in place of pixels that are stored elsewhere


def normalised(images: Tensor) -> Tensor:
    """N x H x W x 3 uint8 -> N x 3 x H x W float32 in [-1, 1], the model's input."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


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
    """:func:`normalised` of an array."""
    return normalised(torch.from_numpy(images))


class Images(Sequence):
    """Images at one size: decoded once into memory as uint8, or on the fly when they would not fit.

    ``images[i]`` is one H x W x 3 uint8 array; ``images.batch(indices)`` N x H x W x 3.

    Args:
        sources: files, images inside HDF5 files, or H x W x 3 uint8 arrays of any size.
        size: (height, width) of every image.
        memory_gb: largest array to keep, in GB (10^9 bytes); beyond it every access decodes.
        name: what the progress bar says; no bar for fewer than 1,000 files.
        skip_bad: leave out what cannot be read instead of refusing it.
        fit: see :func:`fitted`.

    Attributes:
        kept: indices into the given ``sources`` of those that were not left out.
        skipped: why each of the others was.
        seconds: spent on reading so far.
        colourless: set to a list, it takes the indices of those without colour as they are read.

    Raises:
        UserError: files that cannot be read, all of them named at once.
    """

    def __init__(
        self,
        sources: "Sequence[Path | str | np.ndarray]",
        size: tuple[int, int],
        memory_gb: float = 4.0,
        name: str = "images",
        fit: Fit = "resize",
        skip_bad: bool = False,
    ) -> None:
        self.fit = fit
        self.sources = [Path(source) if isinstance(source, str) else source for source in sources]
        self.kept = np.arange(len(self.sources))
        self.skipped: list[str] = []
        self.size = size
        self.name = name
        self.cache: np.ndarray | None = None
        self.seconds = 0.0
        self.colourless: list[int] | None = None
        self._seen: tuple[list[str], list[bool]] | None = None
        if len(self.sources) * size[0] * size[1] * 3 <= memory_gb * 1e9:
            self.cache = np.empty((len(self.sources), *size, 3), dtype=np.uint8)
            self._read_all(self.cache, skip_bad)
        elif skip_bad:
            self._read_all(skip_bad=True)

    def _read_all(self, into: np.ndarray | None = None, skip_bad: bool = False) -> None:
        """Open every file once: digest, grey or colour and, where asked for, the pixels."""
        started = time.perf_counter()
        digests, grey, good, bad = [], [], [], []

        def read(indices: range) -> list[tuple[int, Photo | None, str]]:
            found: list[tuple[int, Photo | None, str]] = []
            for i in indices:
                try:
                    photo = read_photo(self.sources[i])
                except UserError as error:
                    found.append((i, None, str(error)))
                    continue
                if into is not None:
                    into[i] = fitted(photo.pixels, self.size, self.fit)
                found.append((i, replace(photo, pixels=EMPTY), ""))
            return found

        count = len(self.sources)
        parts = [range(first, min(first + TOGETHER, count)) for first in range(0, count, TOGETHER)]
        workers = torch.get_num_threads() if len(parts) > 1 else 0
        with tqdm(total=count, desc=f"decode {self.name}", disable=count < 1000, leave=False) as bar:
            for i, photo, error in itertools.chain.from_iterable(ahead(read, parts, workers, "decode")):
                bar.update()
                if photo is None:
                    bad.append(error)
                else:
                    good.append(i)
                    digests.append(photo.digest)
                    grey.append(photo.grey)
        self.seconds += time.perf_counter() - started
        if bad and not (skip_bad and good):
            more = f" ({len(bad)} of {len(self.sources)} {self.name} cannot be read: " if len(bad) > 1 else ""
            raise UserError(bad[0] + (more + "; ".join(bad[1:]) + ")" if more else ""))
        if bad:
            self.skipped, self.kept = bad, np.array(good)
            self.sources = [self.sources[i] for i in good]
            self.cache = None if self.cache is None else self.cache[self.kept]
        self._seen = digests, grey

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

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices
        if self.cache is not None:
            return self.cache[index]
        return fitted(read_photo(self.sources[index]).pixels, self.size, self.fit)

    def batch(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at ``indices``, N x H x W x 3 uint8."""
        if self.cache is not None:
            found = self.cache[indices]
        else:
            started = time.perf_counter()
            try:
                found = np.stack([self[int(i)] for i in indices])
            except UserError:
                self._read_all()  # names all that cannot be read, at once
                raise
            self.seconds += time.perf_counter() - started
        if self.colourless is not None:
            self.colourless += np.asarray(indices)[are_grey(found)].tolist()
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
        if self._seen is not None:
            digests, grey = self._seen
            part._seen = [digests[int(i)] for i in indices], [grey[int(i)] for i in indices]
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
