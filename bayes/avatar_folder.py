"""From a folder of avatars to a fitted generator: which avatars, at which size, sharing which choices."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bayes.avatars import load_attributes, load_avatars
from bayes.notation import Share
from bayes.pixel_generator import PixelGenerator
from bayes.pixel_mixture import PixelMixture
from bayes.regions import attribute_regions
from bayes.validation import check_style
from mnad.run import UserError


def fit_folder(
    folder: str,
    styles: Mapping[str, Sequence[str]],
    share: Share = "channel",
    block: int = 16,
    size: tuple[int, int] | None = None,
    alpha: float = 0.0,
    given: Mapping[str, str] | None = None,
    by: str | None = None,
    seed: int | None = None,
) -> PixelGenerator | PixelMixture:
    """Fit a generator to the PNG files of ``folder``.

    Args:
        folder: of PNG files; ``given`` and ``by`` need its ``avatars.csv`` with the categories that they name,
            ``share="part"`` with all; nothing else reads it.
        styles: values of each category.
        share: what chooses its avatar: each channel of each pixel, each pixel, each block, or each part (hair,
            glasses, clothes).
        block: side of the blocks, in pixels of the working size.
        size: working size (width, height) in pixels; None is that of the avatars.
        alpha: pseudo-count of each of the 256 levels; 0 is maximum likelihood.
        given: learn only from the avatars with these attributes.
        by: draw the value of this category first, then an avatar from those that have it.
        seed: of ``sample`` and of the iteration.

    Raises:
        UserError: no such category or value, no avatar that has it, or an unreadable folder.
    """
    given = dict(given or {})
    check_style(given, styles)
    if by is not None and by not in styles:
        raise UserError(f"by: {by!r} is no category; expected one of {list(styles)}")
    images, names = load_avatars(folder, size)
    regions = None
    if given or by or share == "part":
        wanted = styles if share == "part" else {name: styles[name] for name in styles if name in {*given, by}}
        attributes = load_attributes(folder, names, wanted)
        if share == "part":
            regions = attribute_regions(images, attributes)
        known = (attributes[list(given)] == pd.Series(given, dtype=str)).all(axis=1).to_numpy()
        if not known.any():
            raise UserError(f"given: no avatar of {folder} has {given}; expected at least one")
        images, attributes = images[known], attributes[known]
    pixels = PixelGenerator(alpha, {"pixel": 1, "block": block}.get(share), random_state=seed)
    if by is None:
        return pixels.fit(images, regions=regions)
    return PixelMixture(pixels, random_state=seed).fit(images, attributes[by], regions=regions)
