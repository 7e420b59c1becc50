"""Generate avatars by pixel, each with its exact probability.

    python scripts/generate_avatars.py
    python scripts/generate_avatars.py --share part
    python scripts/generate_avatars.py --size 66x70 --share block --block 4 --by прическа

Every value is that of one of the avatars of a folder, chosen at random (formula of total probability). Where
each channel of each pixel chooses for itself, the result looks like all avatars laid over each other, and
alpha > 0 drowns it in noise. What helps: one choice per part of the picture (--share part), per block
(--share block) or per pixel (--share pixel), or a smaller working size (--size), enlarged by repeating
pixels. The printed probability is exact in each case.
"""

import json
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import pandas as pd
from jsonargparse.typing import NonNegativeInt
from tqdm import tqdm

from bayes.avatars import enlarge, load_attributes, load_avatars, parse_size, save_image
from bayes.notation import scientific
from bayes.pixel_generator import PixelGenerator
from bayes.pixel_mixture import PixelMixture
from bayes.regions import attribute_regions
from bayes.validation import check_n, check_style
from mnad.cli import run
from mnad.errors import UserError
from mnad.files import output_folder, stamped
from styles import styles


@dataclass
class Config:
    """What to generate.

    Attributes:
        avatars: folder of PNG files to learn from; given, by and --share part need its avatars.csv
        n: number of avatars
        seed: seed of the random numbers
        alpha: pseudo-count of each of the 256 levels; 0 is maximum likelihood
        share: what chooses its avatar: each channel of each pixel, each pixel, each block, or each part
            (hair, glasses, clothes)
        block: side of the blocks of --share block, in pixels of the working size
        size: working size as WIDTHxHEIGHT in pixels; none is the size of the avatars
        given: learn only from the avatars with these attributes, such as --given.аксесуар "круглые очки"
        by: draw the value of this category first and then an avatar from those that have it
        out: folder of the pictures and of probabilities.csv; none makes runs/avatars-<date>-<time>
        json: print JSON instead of text
        overwrite: write into a folder that is not empty
    """

    avatars: str = "avatars"
    n: int = 5
    seed: NonNegativeInt = 0
    alpha: float = 0.0
    share: Literal["channel", "pixel", "block", "part"] = "channel"
    block: int = 16
    size: str | None = None
    given: dict[str, str] = field(default_factory=dict)
    by: str | None = None
    out: str | None = None
    json: bool = False
    overwrite: bool = False


def fit(config: Config) -> PixelGenerator | PixelMixture:
    """The generator that ``config`` describes, fitted."""
    check_style(config.given, styles)
    if config.by is not None and config.by not in styles:
        raise UserError(f"by: {config.by!r} is no category, one of {list(styles)} was expected")
    images, names = load_avatars(config.avatars, parse_size(config.size) if config.size else None)
    regions = None
    if config.given or config.by or config.share == "part":
        attributes = load_attributes(config.avatars, names, styles)
        if config.share == "part":
            regions = attribute_regions(images, attributes)
        known = (attributes[list(config.given)] == pd.Series(config.given, dtype=str)).all(axis=1).to_numpy()
        if not known.any():
            raise UserError(f"given: no avatar of {config.avatars} has {config.given}, at least one was expected")
        images, attributes = images[known], attributes[known]
    block = {"pixel": 1, "block": config.block}.get(config.share)
    pixels = PixelGenerator(config.alpha, block, random_state=config.seed)
    if config.by is None:
        return pixels.fit(images, regions=regions)
    return PixelMixture(pixels, random_state=config.seed).fit(images, attributes[config.by], regions=regions)


def main(config: Config) -> None:
    check_n(config.n)
    generator = fit(config)
    folder = output_folder(config.out or stamped("avatars"), config.overwrite)
    rows = []
    draws = tqdm(islice(generator, config.n), total=config.n, desc="avatars", unit="avatar", disable=config.n < 20)
    for number, (image, log_probability) in enumerate(draws, start=1):
        path = folder / f"avatar_{number}.png"
        save_image(path, enlarge(image, width=528) if config.size else image)
        rows.append(
            {
                "picture": str(path),
                "log_probability": log_probability,
                "probability": scientific(log_probability),
            }
        )
    pd.DataFrame(rows).to_csv(folder / "probabilities.csv", index=False, lineterminator="\n")
    if config.json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        print(f"{row['picture']}: P = {row['probability']}, ln P = {row['log_probability']:.4f}")


if __name__ == "__main__":
    run(main, Config, description=__doc__)
