"""What may be wrong with a dataset as a whole: duplicates across roles, grey among coloured images."""

import hashlib
import warnings
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
    """How many images of a later role are, byte for byte, also in an earlier one; warns when there are any.

    ``duplicates_test_train`` and ``duplicates_test_known`` make results too good; ``duplicates_known_train`` are known
    anomalies that the training takes for normal, and spoil its thresholds.
    """
    roles = {"train": layout.train, "known": layout.known, "test": layout.test}
    digests = {role: [content_hash(path) for path in paths] for role, paths in roles.items()}
    counts = {}
    for later, earlier in (("test", "train"), ("test", "known"), ("known", "train")):
        first = dict(zip(reversed(digests[earlier]), reversed(roles[earlier]), strict=True))
        pairs = [(path, first[d]) for path, d in zip(roles[later], digests[later], strict=True) if d in first]
        counts[f"duplicates_{later}_{earlier}"] = len(pairs)
        if pairs:
            warnings.warn(
                f"{len(pairs)} of {len(roles[later])} {later} images are also in the {earlier} images "
                f"(first: {pairs[0][0]} is {pairs[0][1]})",
                stacklevel=2,
            )
    return counts


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
