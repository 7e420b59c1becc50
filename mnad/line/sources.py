"""What is to be scored, one picture after the other: photographs, films, cameras and streams."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from mnad.data.paths import SUFFIXES, VIDEO_SUFFIXES, PassedOver, expand, listed_words
from mnad.data.reading import read_image, to_rgb8
from mnad.data.videos import film_frames, open_film
from mnad.run import UserError


@dataclass(frozen=True)
class Shot:
    """One photograph or frame, not decoded yet.

    Attributes:
        name: path of the file, or ``FILM:FRAME``, counted from 0.
        film: pictures of one film follow each other; photographs of one folder do, too.
        load: gives H x W x 3 uint8 RGB of its own size, or raises ``UserError``.
        live: comes from a camera or a stream, and is to be scored before the next one.
        decoded: the pixels are in memory already.
    """

    name: str
    film: str
    load: Callable[[], np.ndarray]
    live: bool = False
    decoded: bool = False


def is_stream(word: str) -> bool:
    """Whether ``word`` is the number of a device or the address of a stream."""
    return "://" in word or (word.isdecimal() and not os.path.exists(word))


def is_film(path: Path) -> bool:
    """Whether OpenCV would read the file as a film; by its ending, or by its content where that says nothing."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return not os.path.isdir(path)
    if suffix in SUFFIXES or not os.path.isfile(path):
        return False
    try:
        capture = open_film(str(path))
    except UserError:
        return False
    try:
        if cv2.haveImageReader(str(path)):
            return False
        return capture.isOpened()
    finally:
        capture.release()


def refused(error: UserError) -> Callable[[], np.ndarray]:
    """A ``load`` that raises ``error``."""

    def load() -> np.ndarray:
        raise error

    return load


def film_shots(word: str) -> Iterator[Shot]:
    """Frames of a film, by position; one that is lost to damage, or a film that does not open, is a shot with that
    error."""
    if not os.path.isfile(word):
        yield Shot(word, word, refused(UserError(f"{word}: missing or no regular file; expected a film")))
        return
    try:
        for number, image in film_frames(Path(word)):
            lost = UserError(f"{word}:{number}: cannot be decoded; expected an undamaged frame")
            load = refused(lost) if image is None else partial(to_rgb8, image, word)
            yield Shot(f"{word}:{number}", word, load, decoded=True)
    except UserError as error:
        yield Shot(word, word, refused(error))


def live_shots(word: str) -> Iterator[Shot]:
    """Frames of a device or a stream as they come; one that does not open is a shot with that error."""
    capture = cv2.VideoCapture(int(word)) if word.isdecimal() else open_film(word)
    number = 0
    try:
        for number in itertools.count():
            more, image = capture.read()
            if not more:
                break
            yield Shot(f"{word}:{number}", word, partial(to_rgb8, image, word), live=True, decoded=True)
    finally:
        capture.release()
    if number == 0:
        yield Shot(word, word, refused(UserError(f"{word}: no frame can be read; expected a camera or a stream")))


def file_shots(path: Path) -> Iterator[Shot]:
    """One photograph, or the frames of one film."""
    if is_film(path):
        yield from film_shots(str(path))
    else:
        yield Shot(str(path), str(path.parent), partial(read_image, path))


def shots(words: Iterable[str | Path], passed: PassedOver | None = None) -> Iterator[Shot]:
    """Every picture that ``words`` mean, lazily; see :func:`mnad.data.paths.find_images`, and films with their frames.

    A word may also be the number of a device or the address of a stream, whose frames have no end.
    """
    for word in listed_words(map(str, words)):
        if is_stream(word):
            yield from live_shots(word)
            continue
        for path in expand(word, SUFFIXES + VIDEO_SUFFIXES, passed):
            yield from file_shots(path)
