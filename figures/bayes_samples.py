"""Examples of the Bayes generators, drawn by ``bayes``."""

import importlib.util
from pathlib import Path

from figures.bayes_examples import save_examples
from figures.config import ROOT
from figures.entry import Drawn, Inputs, NotStoredError
from mnad.report.caption import Caption
from mnad.report.plotting import FORMATS

SEED, COUNT = 0, 5
# figure -> (title, what it shows, conclusion)
TEXTS = {
    "styles": (
        "New styles",
        f"{COUNT} styles drawn from the naive Bayes generator, with their values and their probability. Two columns "
        "wide (6.9 in).",
        "Values are drawn independently of each other, so every picture is a valid style, and combinations can appear "
        "that no given style has; the probability of each is the product of the shares of its values.",
    ),
    "avatars": (
        "New avatars, by what shares a choice",
        f"{COUNT} images for each way of sampling, with their probability. From top to bottom more pixels share one "
        "choice of an avatar. Two columns wide (6.9 in).",
        "Independent pixels give noise around the mean picture: the independence that is harmless among attributes "
        "destroys an image. The larger the part that shares a choice, the more an image looks like an avatar; whole "
        "attributes give almost clean pictures, with a wrong patch where long hair may lie over the clothes. Smoothing "
        "adds colours that no avatar has.",
    ),
    "distributions": (
        "Estimated distributions of the attributes",
        "The estimated probability of every value of every attribute. One column wide (3.3 in).",
        "One or two values dominate hair, hair colour, glasses and clothes; the colours of clothes are nearly even. A "
        "value that was never seen (0.00) is not drawn.",
    ),
    "entropy": (
        "Where the avatars differ",
        "Entropy of the distribution of each pixel over the avatars, mean over channels. One column wide (3.3 in).",
        "Background and skin hardly vary; hair, glasses and clothes do, which is where sampling pixel by pixel makes "
        "noise.",
    ),
}


def captions() -> dict[str, Caption]:
    """Figure -> caption."""
    source = f"`python scripts/make_figures.py --only bayes` (seed {SEED}) on the committed `avatars/` and `styles.py`."
    return {
        f"bayes/{name}": Caption(title, shows, source, conclusion) for name, (title, shows, conclusion) in TEXTS.items()
    }


def draw_bayes(inputs: Inputs, folder: Path) -> Drawn:
    """New styles and avatars, the estimated distributions and the entropy."""
    avatars = ROOT / "avatars"
    if not (avatars / "avatars.csv").is_file():
        raise NotStoredError(f"{avatars}/avatars.csv is missing; expected the committed avatars")
    for module in ("dicebear", "resvg_py"):
        if importlib.util.find_spec(module) is None:
            raise NotStoredError(f"{module} is not installed; expected pip install 'mnad-wells[avatars]'")
    save_examples(folder / "bayes", str(avatars), COUNT, SEED, FORMATS)
    return Drawn(captions())
