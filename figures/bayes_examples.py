"""The four figures of the generators, from the committed avatars and the table of styles."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bayes.avatars import load_attributes, load_avatars
from bayes.drawing import render
from bayes.people_file import load_styles
from bayes.pixel_generator import PixelGenerator
from bayes.regions import attribute_regions
from bayes.style_generator import StyleGenerator
from figures.bayes_figures import plot_avatars, plot_distributions, plot_entropy, plot_styles
from mnad.report.plotting import STYLE, save_figure

DPI = {"avatars": 140}  # noise does not compress: keep the file below 1 MB


def example_figures(avatars: str = "avatars", n: int = 5, seed: int = 0) -> dict[str, Figure]:
    """Name -> figure, unsaved: new styles, avatars by way of sampling, the estimates, the entropy.

    Args:
        avatars: folder of PNG files with their avatars.csv.
        n: number of styles, and of avatars per row.
        seed: of every random number.
    """
    styles, styles_count = load_styles()
    style_generator = StyleGenerator(random_state=seed).fit(styles, styles_count)
    table = style_generator.sample(n)
    pictures = [render(style) for _, style in table.iterrows()]
    images, names = load_avatars(avatars)
    small, _ = load_avatars(avatars, size=(66, 70))
    regions = attribute_regions(images, load_attributes(avatars, names, styles))

    def generator(**parameters: Any) -> PixelGenerator:
        return PixelGenerator(random_state=seed, **parameters)

    plain = generator().fit(images)
    rows = {
        "every channel of every pixel chooses its avatar": plain,
        "the same, smoothed with α = 0.1": generator(alpha=0.1).fit(images),
        "one choice per pixel, working size 66×70": generator(block=1).fit(small),
        "one choice per block of 10×10 pixels, working size 66×70": generator(block=10).fit(small),
        "one choice per part of the picture (hair, glasses, clothes)": generator().fit(images, regions=regions),
    }
    return {
        "styles": plot_styles(table, pictures),
        "avatars": plot_avatars({title: row.sample(n) for title, row in rows.items()}),
        "distributions": plot_distributions(style_generator),
        "entropy": plot_entropy(plain.entropy(), len(images)),
    }


def save_examples(
    folder: Path, avatars: str = "avatars", n: int = 5, seed: int = 0, formats: tuple[str, ...] = ("png",)
) -> list[str]:
    """Write the figures of :func:`example_figures` to ``folder``; returns their names."""
    figures = example_figures(avatars, n, seed)
    for name, figure in figures.items():
        save_figure(figure, folder / name, formats, DPI.get(name, STYLE["savefig.dpi"]))
    return list(figures)
