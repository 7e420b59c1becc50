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

from jsonargparse.typing import NonNegativeInt

from bayes.notation import Share
from mnad.run.cli import run
from mnad.run.files import write_csv
from mnad.run.folders import output_folder, stamped

MAX_N = 100_000


@dataclass
class Config:
    """What to generate.

    Attributes:
        avatars: folder of PNG files to learn from; given, by and --share part need its avatars.csv
        n: number of avatars, at most 100,000
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
    share: Share = "channel"
    block: int = 16
    size: str | None = None
    given: dict[str, str] = field(default_factory=dict)
    by: str | None = None
    out: str | None = None
    json: bool = False
    overwrite: bool = False


def main(config: Config) -> None:
    """Fit, draw, write, print."""
    import pandas as pd
    from tqdm import tqdm

    from bayes.avatar_folder import fit_folder
    from bayes.avatars import enlarge, parse_size, save_image
    from bayes.notation import scientific
    from bayes.people_file import load_styles
    from bayes.validation import check_n

    check_n(config.n, most=MAX_N)
    size = parse_size(config.size) if config.size else None
    generator = fit_folder(
        config.avatars,
        load_styles()[0],
        share=config.share,
        block=config.block,
        size=size,
        alpha=config.alpha,
        given=config.given,
        by=config.by,
        seed=config.seed,
    )
    folder = output_folder(config.out or stamped("avatars"), config.overwrite)
    rows = []
    draws = tqdm(islice(generator, config.n), total=config.n, desc="avatars", unit="avatar", disable=config.n < 20)
    for number, (image, log_probability) in enumerate(draws, start=1):
        path = folder / f"avatar_{number}.png"
        save_image(path, enlarge(image, width=528) if size else image)
        probability = scientific(log_probability)
        rows.append({"picture": str(path), "log_probability": log_probability, "probability": probability})
    write_csv(folder / "probabilities.csv", pd.DataFrame(rows))
    if config.json:
        print(json.dumps(rows, ensure_ascii=False, indent=2, allow_nan=False))
        return
    for row in rows:
        print(f"{row['picture']}: P = {row['probability']}, ln P = {row['log_probability']:.4f}")


if __name__ == "__main__":
    run(main, Config, description=__doc__)
