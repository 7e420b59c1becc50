"""Everything that ``scripts/make_figures.py`` does: draw each entry aside, check, then put its files in place."""

import shutil
import tempfile
from pathlib import Path

from tqdm import tqdm

from figures.catalogue import CATALOGUE
from figures.config import MakeConfig
from figures.entry import MARK, Drawn, Inputs, NotStoredError
from mnad.report.caption import caption_path
from mnad.report.plotting import FORMATS
from mnad.run import UserError
from mnad.run.files import atomic_path, write_text
from mnad.run.folders import locked, sweep


def chosen(only: list[str] | str) -> list[str]:
    """Names in the order of the catalogue.

    Raises:
        UserError: an unknown name.
    """
    names = [only] if isinstance(only, str) else only
    for name in names:
        if name not in CATALOGUE:
            raise UserError(f"only: expected one of {', '.join(CATALOGUE)}, got {name!r}")
    return [name for name in CATALOGUE if name in names or not names]


def check_ours(out: Path, drawn: Drawn) -> None:
    """Every file that is about to be replaced must belong to a figure with our caption.

    Raises:
        UserError: a file of that name is from elsewhere.
    """
    ours = []
    for stem in drawn.captions:
        caption = caption_path(out, stem)
        ours.append(caption.is_file() and caption.read_text(encoding="utf-8", errors="replace").startswith(MARK))
        present = [path for path in (caption, *(out / f"{stem}.{suffix}" for suffix in FORMATS)) if path.exists()]
        if present and not ours[-1]:
            raise UserError(f"{present[0]}: exists and was not made by this command; expected a free name")
    for name in drawn.extras:
        if (out / name).exists() and not all(ours):
            raise UserError(f"{out / name}: exists and was not made by this command; expected a free name")


def put(source: Path, target: Path) -> None:
    """Move a finished file to its place, which it takes at once.

    Raises:
        UserError: the folder cannot be written.
    """
    with atomic_path(target) as aside:
        shutil.move(source, aside)


def draw_entry(name: str, inputs: Inputs, out: Path) -> list[Path]:
    """Draw one entry of the catalogue and move its files below ``out``; returns the figures' PNG files.

    Raises:
        NotStoredError: a stored result is missing.
        UserError: a bad stored result, a file of the same name from elsewhere, or a folder that cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="figures-") as temporary:
        folder = Path(temporary)
        drawn = CATALOGUE[name](inputs, folder)
        check_ours(out, drawn)
        # The caption, which says whose the figure is, goes first: a run that is cut short can be repeated.
        for stem, caption in drawn.captions.items():
            write_text(caption_path(out, stem), caption.markdown(MARK))
            for suffix in FORMATS:
                put(folder / f"{stem}.{suffix}", out / f"{stem}.{suffix}")
        for extra in drawn.extras:
            put(folder / extra, out / extra)
    return [out / f"{stem}.png" for stem in drawn.captions]


def make_figures(config: MakeConfig) -> None:
    """Draw what was asked for; what has no stored result is skipped with a line that says what was expected.

    Raises:
        UserError: see :func:`chosen` and :func:`draw_entry`; ``data`` that is not drawn; another process draws there.
    """
    names = chosen(config.only)
    if config.data is not None and not (config.data / "synthetic.json").is_file():
        # Photographs of others must not get into a committed figure.
        raise UserError(f"data: expected a folder of drawn wells (with synthetic.json), got {config.data}")
    inputs = Inputs(config.results, config.checkpoint, config.data)
    with locked(config.out), tqdm(names, unit="figure", disable=None) as bar:
        if config.out.is_dir():
            sweep(config.out)
        for name in bar:
            bar.set_description(name)
            try:
                for path in draw_entry(name, inputs, config.out):
                    tqdm.write(str(path))
            except NotStoredError as reason:
                tqdm.write(f"skipped {name}: {reason}")
