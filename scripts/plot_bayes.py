"""Draw the figures of the Bayes generators: styles, avatars by way of sampling, the estimates, the entropy.

python scripts/plot_bayes.py --overwrite
"""

from dataclasses import dataclass

from bayes.avatars import load_attributes, load_avatars
from bayes.drawing import render
from bayes.figures import plot_avatars, plot_distributions, plot_entropy, plot_styles
from bayes.pixel_generator import PixelGenerator
from bayes.regions import attribute_regions
from bayes.style_generator import StyleGenerator
from mnad.cli import run
from mnad.files import output_folder
from mnad.plotting import save_figure
from styles import styles, styles_count


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
    seed: int = 0
    out: str = "figures/bayes"
    overwrite: bool = False


def main(config: Config) -> None:
    style_generator = StyleGenerator(random_state=config.seed).fit(styles, styles_count)
    table = style_generator.sample(config.n)
    pictures = [render(style) for _, style in table.iterrows()]
    images, names = load_avatars(config.avatars)
    small, _ = load_avatars(config.avatars, size=(66, 70))
    regions = attribute_regions(images, load_attributes(config.avatars, names, styles))

    def generator(**parameters: float) -> PixelGenerator:
        return PixelGenerator(random_state=config.seed, **parameters)

    plain = generator().fit(images)
    rows = {
        "every channel of every pixel chooses its avatar": plain,
        "the same, smoothed with α = 0.1": generator(alpha=0.1).fit(images),
        "one choice per pixel, working size 66×70": generator(block=1).fit(small),
        "one choice per block of 10×10 pixels, working size 66×70": generator(block=10).fit(small),
        "one choice per part of the picture (hair, glasses, clothes)": generator().fit(images, regions=regions),
    }
    folder = output_folder(config.out, config.overwrite)
    save_figure(plot_styles(table, pictures), folder / "styles")
    save_figure(plot_avatars({title: row.sample(config.n) for title, row in rows.items()}), folder / "avatars")
    save_figure(plot_distributions(style_generator), folder / "distributions")
    save_figure(plot_entropy(plain.entropy(), len(images)), folder / "entropy")
    print(f"Four figures in {folder}")


if __name__ == "__main__":
    run(main, Config, description=__doc__)
