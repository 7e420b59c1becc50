"""One style for every figure: colour-blind-safe, readable at column width (3.3 in) and in grey."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.figure import Figure

from mnad.run.files import atomic_path

COLUMN = 3.3  # inches: one column of a two-column paper
TWO_COLUMNS = 6.9  # inches
FORMATS = ("png", "pdf")  # of every figure that is kept

# Okabe and Ito's palette; the order alternates dark and light so that neighbours differ in grey too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
NORMAL, ANOMALOUS, EMPTY, TRAIN = PALETTE[4], PALETTE[5], "#000000", "#BBBBBB"

STYLE: dict[str, Any] = {
    "figure.dpi": 150,
    "savefig.dpi": 200,
    "savefig.bbox": "tight",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=list(PALETTE)),
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # embed TrueType fonts
    "image.cmap": "cividis",
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """``with style():`` draws in the project's style and leaves the global one alone."""
    with plt.rc_context(STYLE):
        yield


def literal(text: object) -> str:
    """``text`` of the user, such as the name of a folder, as Matplotlib draws it: no mathematics, no odd bytes."""
    return str(text).encode(errors="backslashreplace").decode().replace("$", r"\$")


def save_figure(
    figure: Figure, path: str | Path, formats: tuple[str, ...] = ("png",), dpi: int = STYLE["savefig.dpi"]
) -> list[Path]:
    """Write ``figure`` to ``path`` (suffix replaced by each of ``formats``), close it, return the files.

    ``dpi`` is the resolution of the PNG and of what is kept as pixels in a PDF.

    The files carry no date, so the same figure gives the same bytes.

    Raises:
        UserError: the folder cannot be written.
    """
    path = Path(path)
    written = []
    with plt.rc_context(STYLE):
        try:
            for suffix in formats:
                target = path.with_suffix(f".{suffix}")
                metadata = {"CreationDate": None} if suffix == "pdf" else {"Software": None}
                with atomic_path(target) as temporary:
                    figure.savefig(temporary, format=suffix, metadata=metadata, dpi=dpi)
                written.append(target)
        finally:
            plt.close(figure)
    return written
