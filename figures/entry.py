"""What a committed figure is: inputs, a drawing with a caption for each file, or a reason to skip it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from figures.conclusions import CONCLUSIONS
from figures.config import ROOT
from mnad.report.caption import Caption
from mnad.run.files import read_json

__all__ = ["MARK", "Caption", "Drawn", "Entry", "Inputs", "NotStoredError", "origin"]

MARK = "<!-- drawn by scripts/make_figures.py -->"  # first line of every caption; edits there are lost


class NotStoredError(Exception):
    """A figure cannot be drawn here; the message says what was expected."""


@dataclass(frozen=True)
class Inputs:
    """Where the stored results are.

    Attributes:
        results: folder with the stored results of each part, usually ``figures/``.
        checkpoint: detector of the synthetic wells, for pictures of what it does; None is the shipped one.
        data: folder of drawn wells; None draws the synthetic default.
    """

    results: Path
    checkpoint: Path | None = None
    data: Path | None = None

    def stored(self, path: str) -> Path:
        """``results / path``.

        Raises:
            NotStoredError: it is not there.
        """
        found = self.results / path
        if not found.exists():
            raise NotStoredError(f"{found} is missing; expected a stored result there")
        return found

    def conclusion(self, figure: str) -> str:
        """The hand-written conclusion of ``figure``, which is about the committed results alone."""
        committed = self == Inputs(ROOT / "figures")
        return CONCLUSIONS[figure] if committed and figure in CONCLUSIONS else "None is written for these results."


@dataclass
class Drawn:
    """What one entry wrote into the folder that it was given.

    Attributes:
        captions: figure (path below the folder, without suffix) -> caption; each has a file for each of ``FORMATS``.
        extras: other files (paths below the folder) that belong to the figures, such as their numbers.
    """

    captions: dict[str, Caption]
    extras: list[str] = field(default_factory=list)


# Draws into a folder. Raises NotStoredError when its inputs are not there.
Entry = Callable[[Inputs, Path], Drawn]


def origin(folder: Path, part: str = "") -> str:
    """Command and date of the results in ``folder``: from ``run.json`` (``command``, ``date``), else the run's own
    ``provenance.json``. A ``run.json`` of several results has such an object for each ``part``."""
    record: dict = {}
    for name in ("provenance.json", "run.json"):
        if (folder / name).is_file():
            record |= read_json(folder / name)
    record |= record.get(part, {})
    command = f"`{record['command']}`" if "command" in record else f"results stored in {folder.name}/"
    date = str(record.get("date", "date not stored"))[:10] if "date" in record else "date not stored"
    revision = f", revision {record['git_revision']}" if "git_revision" in record else ""
    return f"{command}, {date}{revision}."
