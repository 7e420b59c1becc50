"""Draw avatars/ again, bit for bit: fifty people with the counts of styles.py, and their attributes.

    python scripts/draw_avatars.py --overwrite

Needs the extra "avatars" (DiceBear and resvg, in the versions of pyproject.toml); works offline.
"""

from dataclasses import dataclass

from jsonargparse.typing import NonNegativeInt, PositiveInt

from mnad.run.cli import run
from mnad.run.files import write_bytes, write_csv
from mnad.run.folders import output_folder


@dataclass
class Config:
    """What to draw.

    Attributes:
        out: folder of the pictures and of avatars.csv
        seed: seed of the shuffles that give people their attributes
        width: width of the pictures in pixels; the height is 35/33 of it
        overwrite: write into a folder that is not empty
    """

    out: str = "avatars"
    seed: NonNegativeInt = 0
    width: PositiveInt = 528
    overwrite: bool = False


def main(config: Config) -> None:
    """Choose the people, draw them, write their attributes."""
    from tqdm import tqdm

    from bayes.avatars import ATTRIBUTES_FILE
    from bayes.drawing import render_png
    from bayes.people import make_people
    from bayes.people_file import load_styles

    people = make_people(*load_styles(), config.seed)
    people.insert(0, "file", [f"avatar_{number:02d}.png" for number in range(1, len(people) + 1)])
    render_png(people.iloc[0], config.width)  # a missing package is an error before anything is written
    folder = output_folder(config.out, config.overwrite)
    for _, person in tqdm(people.iterrows(), total=len(people), desc="avatars", unit="avatar"):
        write_bytes(folder / person["file"], render_png(person, config.width))
    write_csv(folder / ATTRIBUTES_FILE, people)
    print(f"{len(people)} avatars in {folder}")


if __name__ == "__main__":
    run(main, Config, description=__doc__)
