"""Images inside an HDF5 file, each named by a path as if the file were a folder: ``train32.h5/17``."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mnad.data.decoding import check_pixels
from mnad.run import UserError, one_line

if TYPE_CHECKING:  # imported where it is used: most images are files
    import h5py

SUFFIXES = (".h5", ".hdf5")
IMAGES = "images"


def is_member(path: Path) -> bool:
    """Whether ``path`` names an image inside an HDF5 file."""
    return path.parent.suffix.lower() in SUFFIXES


@lru_cache(maxsize=8)
def open_images(path: Path) -> "h5py.Dataset":
    """The dataset of images of an HDF5 file, kept open.

    Raises:
        UserError: missing, no HDF5 file, without images, or with images of too many pixels.
    """
    import h5py

    if not path.is_file():
        raise UserError(f"{path}: missing; expected an HDF5 file with the dataset {IMAGES!r}")
    try:
        data = h5py.File(path, "r").get(IMAGES)
    except (OSError, RuntimeError, ValueError, KeyError) as error:  # h5py's, by the kind of damage
        raise UserError(f"{path}: is no readable HDF5 file; expected one with the dataset {IMAGES!r}") from error
    if (
        not isinstance(data, h5py.Dataset)
        or data.ndim not in (3, 4)
        or (data.ndim == 4 and data.shape[3] not in (1, 3))
    ):
        shape = getattr(data, "shape", None)
        raise UserError(f"{path}: dataset {IMAGES!r} of shape {shape}; expected N x H x W, or with 1 or 3 channels,")
    if data.dtype != np.uint8 and data.dtype.kind != "f":
        raise UserError(f"{path}: pixels of type {data.dtype}; expected uint8 or float in [0, 1]")
    check_pixels(data.shape[2], data.shape[1], path)
    return data


def member(path: Path) -> np.ndarray:
    """The image ``FILE.h5/INDEX`` as H x W or H x W x 3 uint8 (RGB).

    Raises:
        UserError: see :func:`open_images`; no such index, damage, or floats outside [0, 1].
    """
    data = open_images(path.parent)
    if not path.name.isdecimal() or int(path.name) >= len(data):
        raise UserError(f"{path}: no such image; expected a number below {len(data)}")
    try:
        image = data[int(path.name)]
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}); expected an undamaged HDF5 file") from error
    if image.dtype != np.uint8:
        if not (image.min() >= 0 and image.max() <= 1):
            raise UserError(f"{path}: floats from {image.min()} to {image.max()}; expected [0, 1]")
        image = np.rint(image * 255).astype(np.uint8)
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
