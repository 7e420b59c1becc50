"""The text beside a figure: what it shows, where it comes from, what follows."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Caption:
    """Text beside a figure.

    Attributes:
        title: one line.
        shows: what the figure shows, and how to read it.
        source: run or command, and date.
        conclusion: what follows from it, in words that a person wrote; empty leaves it out.
        reading: what the numbers behind it say, in words that a program wrote; empty leaves it out.
    """

    title: str
    shows: str
    source: str
    conclusion: str = ""
    reading: str = ""

    def markdown(self, mark: str) -> str:
        """The caption file; ``mark`` is its first line."""
        parts = {"Shows": self.shows, "From": self.source, "Reading": self.reading, "Conclusion": self.conclusion}
        text = "\n\n".join(f"**{name}.** {part}" for name, part in parts.items() if part)
        return f"{mark}\n# {self.title}\n\n{text}\n"


def caption_path(folder: Path, stem: str) -> Path:
    """Where the caption of figure ``stem`` is."""
    return folder / f"{stem}.caption.md"
