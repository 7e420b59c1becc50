"""What may be wrong with a dataset as a whole: duplicates across roles, grey among coloured images."""

import hashlib
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from mnad.data.hdf5 import is_member, member
from mnad.data.images import read_image
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
        UserError: see :func:`mnad.data.images.read_image`.
    """
    if is_member(path):
        return member(path).ndim == 2
    try:
        with Image.open(path) as image:
            return image.mode in GREY_MODES
    except (OSError, UnidentifiedImageError):  # what one library cannot read, the other may, or says why not
        pixels = read_image(path)
        return bool((pixels == pixels[..., :1]).all())


def check_colours(layout: Layout, allow_mixed: bool) -> int:
    """Number of grey images in a dataset that mixes them with coloured ones, else 0; warns when there are any.

    Grey images become RGB with three equal channels, so a mixture can be read, but a detector may learn the camera.

    Raises:
        UserError: of the test, all anomalies are grey and no normal image is, or the reverse, and ``allow_mixed`` is
            False: the channel count alone gives the label away.
    """
    train = [*layout.train, *layout.known]
    grey = {path for path in [*train, *layout.test] if is_grey(path)}
    if not grey or len(grey) == len(train) + len(layout.test):
        return 0
    first = min(grey)
    kinds = [{path in grey for path in np.array(layout.test, dtype=object)[layout.labels == label]} for label in (0, 1)]
    if not allow_mixed and all(len(kind) == 1 for kind in kinds) and kinds[0] != kinds[1]:
        raise UserError(
            f"{first}: is grey, and grey or colour alone tells the test anomalies from the normals; images of one "
            "kind, or --layout_options.allow_mixed, was expected"
        )
    warnings.warn(
        f"{len(grey)} of {len(train) + len(layout.test)} images are grey, the others coloured (first: {first}); "
        "images of one kind are better",
        stacklevel=2,
    )
    return len(grey)


def check_layout(layout: Layout, allow_mixed: bool = False) -> dict[str, int]:
    """Check the images of a layout; the counts belong into the report.

    Raises:
        UserError: see :func:`check_colours`.
    """
    return {"grey_images_among_colour": check_colours(layout, allow_mixed), **duplicates(layout)}
