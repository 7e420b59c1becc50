"""Generate styles (hair, glasses, clothes and their colours) by naive Bayes, each with its probability.

    python scripts/generate_styles.py
    python scripts/generate_styles.py --n 3 --seed 1 --given.прическа "нет волос"

Prints the styles and saves their pictures and a table of their probabilities.
"""

import json
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from jsonargparse.typing import NonNegativeInt

from mnad.run.cli import run
from mnad.run.files import write_bytes, write_csv
from mnad.run.folders import output_folder, stamped

MAX_N = 100_000


@dataclass
class Config:
    """What to generate.

    Attributes:
        n: number of styles, at most 100,000
        seed: seed of the random numbers
        alpha: pseudo-count added to every count of styles.py; 0 is maximum likelihood
        given: known attributes, such as --given.аксесуар "круглые очки"; probabilities are then conditional
        draw: draw the styles (needs the extra "avatars")
        out: folder of the pictures and of styles.csv; none makes runs/styles-<date>-<time>
        json: print JSON instead of text
        overwrite: write into a folder that is not empty
    """

    n: int = 5
    seed: NonNegativeInt = 0
    alpha: float = 0.0
    given: dict[str, str] = field(default_factory=dict)
    draw: bool = True
    out: str | None = None
    json: bool = False
    overwrite: bool = False


def main(config: Config) -> None:
    """Fit, draw, write, print."""
    from tqdm import tqdm

    from bayes.drawing import render_png
    from bayes.notation import scientific
    from bayes.people_file import load_styles
    from bayes.style_generator import StyleGenerator
    from bayes.validation import check_n

    generator = StyleGenerator(config.alpha).fit(*load_styles())
    table = generator.sample(check_n(config.n, most=MAX_N), config.seed, config.given)
    if config.draw:
        rows = tqdm(table.iterrows(), total=len(table), desc="pictures", disable=len(table) < 20)
        pictures = [render_png(style) for _, style in rows]
    folder = output_folder(config.out or stamped("styles"), config.overwrite)
    if config.draw:
        table["picture"] = [str(folder / f"style_{number}.png") for number in range(1, config.n + 1)]
        for path, picture in zip(table["picture"], pictures, strict=True):
            write_bytes(Path(path), picture)
    write_csv(folder / "styles.csv", table)
    if config.json:
        print(json.dumps(table.to_dict("records"), ensure_ascii=False, indent=2, allow_nan=False))
        return
    symbol = "P(style | given)" if config.given else "P(style)"
    for number, row in zip(count(1), table.to_dict("records")):
        print(f"{number}. " + ", ".join(f"{category}: {row[category]}" for category in generator.categories_))
        print(f"   {symbol} = {scientific(row['log_probability'])}, ln P = {row['log_probability']:.4f}")
    print(f"Table{' and pictures' if config.draw else ''} in {folder}")


if __name__ == "__main__":
    run(main, Config, description=__doc__)
