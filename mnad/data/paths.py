"""Which files the user means: files, folders, globs and a list on standard input, in flat memory; nothing is hidden.

Free of torch and pandas, for the runtime.
"""

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp")
VIDEO_SUFFIXES = (".mp4", ".avi")
TEMPORARY = (".tmp", ".part", ".partial", ".crdownload", ".swp", "~")  # endings of files that are still being written
NAMED = 5  # files passed over that are named, of each kind


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key of a file name that compares runs of digits as numbers: ``frame2`` comes before ``frame10``."""
    parts = re.findall(r"(\d+)|(\D+)", path.name)
    return [(0, int(digits), "") if digits else (1, 0, text) for digits, text in parts]


def is_temporary(name: str) -> bool:
    """Whether a file name is hidden or that of a file which is still being written."""
    return name.startswith(".") or name.lower().endswith(TEMPORARY)


@dataclass
class PassedOver:
    """What :func:`find_images` left out, by reason.

    Attributes:
        counts: reason -> files.
        names: reason -> the first of them.
    """

    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, path: object) -> None:
        """Count one file."""
        self.counts[reason] += 1
        named = self.names.setdefault(reason, [])
        if len(named) < NAMED:
            named.append(str(path))

    def lines(self) -> list[str]:
        """One line for each reason: how many, and the first names."""
        found = []
        for reason, count in self.counts.items():
            more = ", ..." if count > len(self.names[reason]) else ""
            named = ", ".join(self.names[reason]).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            found.append(f"passed over, {reason}: {count} ({named}{more})")
        return found


def _walk(folder: Path, endings: tuple[str, ...], passed: PassedOver) -> Iterator[Path]:
    """Files below ``folder``: those in it in natural order, then each folder in it; one folder's names are in memory.

    Links to folders are not followed, since they may lead in a circle.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: natural_key(Path(entry.name)))
    except OSError as error:
        passed.add(f"folder that cannot be read ({error.strerror})", folder)
        return
    folders = []
    for entry in entries:
        path = folder / entry.name
        if is_temporary(entry.name):
            passed.add("hidden or temporary", path)
        elif entry.is_dir(follow_symlinks=False):
            folders.append(path)
        elif os.path.isdir(path):  # entry.is_dir() fails for a link to itself
            passed.add("link to a folder", path)
        elif path.suffix.lower() not in endings:
            passed.add("unknown ending", path)
        else:
            yield path
    for path in folders:
        yield from _walk(path, endings, passed)


def expand(word: str, endings: tuple[str, ...] = SUFFIXES, passed: PassedOver | None = None) -> Iterator[Path]:
    """The files that one word means; see :func:`find_images`."""
    passed = PassedOver() if passed is None else passed
    path = Path(word)
    if os.path.isdir(word):  # False for a name that the system refuses; whoever opens it says why
        yield from _walk(path, endings, passed)
    elif not os.path.lexists(word) and glob.has_magic(word):
        # ** follows links to folders, perhaps in a circle: the shortest name of each file counts
        shortest: dict[str, Path] = {}
        for name in sorted(glob.iglob(word, recursive=True), key=len):
            shortest.setdefault(os.path.realpath(name), Path(name))
        matches = sorted(shortest.values(), key=lambda p: (p.parent, natural_key(p)))
        if not matches:
            yield path  # whoever opens it says that it is missing
        for match in matches:
            if os.path.isdir(match):
                passed.add("folder that a pattern matches", match)
            elif match.suffix.lower() not in endings:
                passed.add("unknown ending", match)
            else:
                yield match
    else:
        yield path  # named by the user, so that its ending does not matter


def listed_words(words: Iterable[str]) -> Iterator[str]:
    """``words`` with ``-`` replaced by the lines of standard input, read as they come."""
    for word in words:
        if word != "-":
            yield word
            continue
        for line in sys.stdin.buffer:
            name = os.fsdecode(line.rstrip(b"\r\n"))
            if name:
                yield name


def find_images(
    words: Iterable[str | Path], passed: PassedOver | None = None, endings: tuple[str, ...] = SUFFIXES
) -> Iterator[Path]:
    """Every image that ``words`` mean, lazily, so that there may be any number of them.

    Args:
        words: files (whatever their ending, whether they exist or not), folders (with all below them), patterns
            (``*``, ``?``, ``[]``, ``**``), or ``-`` for a list on standard input, one such word a line.
        passed: is told of every file that a folder or a pattern holds and that is left out: hidden and temporary ones,
            other endings, links to folders, folders that cannot be read.
        endings: of the files in folders that count.
    """
    for word in listed_words(map(str, words)):
        yield from expand(word, endings, passed)
