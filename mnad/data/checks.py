"""What may be wrong with a dataset as a whole: duplicates across roles, grey among coloured images."""

import warnings
from collections.abc import Mapping

import numpy as np

from mnad.data.images import Images
from mnad.run import UserError

FINDINGS = {  # of `Photographs.read`: what their number means
    "duplicates_test_train": "test images are also training images: results are too good",
    "duplicates_test_known": "test images are also known anomalies: results are too good",
    "duplicates_known_train": ("known anomalies are also training images, which spoils a threshold that rests on them"),
    "grey_images_among_colour": "grey images stand among coloured ones",
}


def finding_lines(findings: Mapping[str, object]) -> list[str]:
    """What ``findings`` (counts by the keys of ``FINDINGS``) say of a result, a line for each that is not 0."""
    return [f"{findings[key]} {text}" for key, text in FINDINGS.items() if findings.get(key)]


def duplicates(roles: Mapping[str, Images]) -> dict[str, int]:
    """How many images of a later role are, byte for byte, also in an earlier one; warns when there are any.

    ``duplicates_test_train`` and ``duplicates_test_known`` make results too good; ``duplicates_known_train`` are known
    anomalies that the training takes for normal, and spoil its thresholds.

    Args:
        roles: of ``train``, ``known`` and ``test`` those that there are.
    """
    counts = {}
    for later, earlier in (("test", "train"), ("test", "known"), ("known", "train")):
        first, second = roles.get(earlier), roles.get(later)
        pairs = []
        if first is not None and second is not None:
            known = dict(zip(reversed(first.digests), reversed(first.sources), strict=True))
            pairs = [(s, known[d]) for s, d in zip(second.sources, second.digests, strict=True) if d in known]
        counts[f"duplicates_{later}_{earlier}"] = len(pairs)
        if pairs:
            warnings.warn(
                f"{len(pairs)} of {len(second)} {later} images are also in the {earlier} images "
                f"(first: {pairs[0][0]} is {pairs[0][1]})",
                stacklevel=2,
            )
    return counts


def check_colours(roles: Mapping[str, Images], labels: np.ndarray, allow_mixed: bool = False) -> int:
    """Number of grey images in a dataset that mixes them with coloured ones, else 0; warns when there are any.

    Grey images become RGB with three equal channels, so a mixture can be read, but a detector may learn the camera.

    Args:
        roles: as in :func:`duplicates`.
        labels: of the test images, 1 = anomalous.

    Raises:
        UserError: of the test, all anomalies are grey and no normal image is, or the reverse, and ``allow_mixed`` is
            False: the channel count alone gives the label away.
    """
    grey = [source for images in roles.values() for source, g in zip(images.sources, images.grey, strict=True) if g]
    total = sum(len(images) for images in roles.values())
    if not grey or len(grey) == total:
        return 0
    first = min(grey)
    tested = np.array(roles["test"].grey) if "test" in roles else np.zeros(0, dtype=bool)
    kinds = [set(tested[labels == label].tolist()) for label in (0, 1)]
    if not allow_mixed and all(len(kind) == 1 for kind in kinds) and kinds[0] != kinds[1]:
        raise UserError(
            f"{first}: is grey, and grey or colour alone tells the test anomalies from the normals; expected images "
            f"of one kind, or --layout_options.allow_mixed"
        )
    warnings.warn(
        f"{len(grey)} of {total} images are grey, the others coloured (first: {first}); images of one kind are better",
        stacklevel=2,
    )
    return len(grey)
