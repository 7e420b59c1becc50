"""Draw the figures of the Bayes generators: styles, avatars by way of sampling, the estimates, the entropy.

python scripts/plot_bayes.py --overwrite
"""

from dataclasses import dataclass

from jsonargparse.typing import NonNegativeInt

from bayes.examples import save_examples
from mnad.cli import run
from mnad.files import output_folder


@dataclass
class Config:
    """What to draw.

    Attributes:
        avatars: folder of PNG files with their avatars.csv
        n: number of styles, and of avatars per row
        seed: seed of the random numbers
        out: folder of the figures
        overwrite: write into a folder that is not empty
    """

    avatars: str = "avatars"
    n: int = 5
    seed: NonNegativeInt = 0
    out: str = "figures/bayes"
    overwrite: bool = False


def main(config: Config) -> None:
    """Draw and write."""
    folder = output_folder(config.out, config.overwrite)
    names = save_examples(folder, config.avatars, config.n, config.seed)
    print(f"{len(names)} figures in {folder}")


if __name__ == "__main__":
    run(main, Config, description=__doc__)
