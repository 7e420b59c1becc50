"""What may be wrong with a dataset as a whole: duplicates across roles, grey among coloured images."""

import hashlib
import warnings
from collections import defaultdict
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from mnad.data.hdf5 import is_member, member
from mnad.data.layout import Layout
from mnad.errors import UserError

GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, or of the pixels of a member of an HDF5 file."""
    data = member(path).tobytes() if is_member(path) else path.read_bytes()
    return hashlib.sha256(data).hexdigest()


def duplicates(layout: Layout) -> dict[str, int]:
    """How many test images are also among the training normals or the known anomalies; warns when there are any."""
    seen: dict[str, dict[str, Path]] = {"train": {}, "known": {}}
    for role, paths in (("train", layout.train), ("known", layout.known)):
        for path in paths:
            seen[role].setdefault(content_hash(path), path)
    found: dict[str, list[tuple[Path, Path]]] = defaultdict(list)
    for path in layout.test:
        digest = content_hash(path)
        for role, known in seen.items():
            if digest in known:
                found[role].append((path, known[digest]))
    for role, pairs in found.items():
        warnings.warn(
            f"{len(pairs)} of {len(layout.test)} test images are also in the {role} images "
            f"(first: {pairs[0][0]} is {pairs[0][1]}); results on them are too good",
            stacklevel=2,
        )
    return {f"duplicates_test_{role}": len(found[role]) for role in seen}


def is_grey(path: Path) -> bool:
    """Whether the file stores one channel; reads the header only.

    Raises:
        UserError: no readable image.
    """
    if is_member(path):
        return member(path).ndim == 2
    try:
        with Image.open(path) as image:
            return image.mode in GREY_MODES
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{path}: is not a readable image; an image file was expected") from error


def check_colours(layout: Layout, allow_mixed: bool) -> int:
    """Number of grey images in a dataset that mixes them with coloured ones, else 0.

    Raises:
        UserError: they are mixed and ``allow_mixed`` is False: the channel count alone may then give the class away.
    """
    paths = [*layout.train, *layout.known, *layout.test]
    grey = [path for path in paths if is_grey(path)]
    if not grey or len(grey) == len(paths):
        return 0
    if not allow_mixed:
        raise UserError(
            f"{grey[0]}: is grey, as {len(grey)} of {len(paths)} images; images of one kind, or "
            "--layout_options.allow_mixed, was expected"
        )
    return len(grey)


def check_layout(layout: Layout, allow_mixed: bool = False) -> dict[str, int]:
    """Check the images of a layout; the counts belong into the report.

    Raises:
        UserError: see :func:`check_colours`.
    """
    return {"grey_images_among_colour": check_colours(layout, allow_mixed), **duplicates(layout)}
