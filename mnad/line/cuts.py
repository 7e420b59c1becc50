"""From a picture to its wells: decoded, cut out of their boxes, at the size of the model; errors stand in the wells."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mnad.config import Fit
from mnad.data.reading import resize, small
from mnad.line.boxes import Box
from mnad.line.sources import Shot
from mnad.run import UserError, one_line


@dataclass(frozen=True)
class Wanted:
    """What is to be kept of each picture.

    Args:
        boxes: wells to cut out; none takes the whole picture.
        view: keep a photograph for people.
        picture: keep the whole picture.
        workers: threads that decode and score; 0 does one after the other, None has as many as PyTorch has.
        statistics: of each picture, for a gauge of drift.
    """

    boxes: Sequence[Box] = ()
    view: bool = False
    picture: bool = False
    workers: int | None = None
    statistics: bool = False


@dataclass
class Cut:
    """One well of one picture, ready for the model, or the reason why it is not."""

    name: str
    film: str
    box: Box | None = None
    pixels: np.ndarray | None = None  # H x W x 3 uint8 of the model's size
    view: np.ndarray | None = None  # of its own shape, at most :data:`mnad.data.reading.VIEW` pixels long, for people
    error: str = ""


def sized(picture: np.ndarray, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """H x W x 3 uint8 at ``size``; an export only stretches, and runs without PyTorch."""
    if fit == "resize":
        return resize(picture, size)
    from mnad.data.images import fitted

    return fitted(picture, size, fit)


def cut_shot(
    shot: Shot, size: tuple[int, int], wanted: Wanted, fit: Fit = "resize"
) -> tuple[list[Cut], np.ndarray | None]:
    """Decode one shot into its wells, and the whole picture if that is ``wanted``; errors stand in the wells."""
    boxes: Sequence[Box | None] = wanted.boxes or (None,)
    names = [shot.name if box is None else f"{shot.name}#{box.id}" for box in boxes]
    try:
        picture = shot.load()
    except UserError as error:
        return [Cut(n, shot.film, b, error=one_line(error)) for n, b in zip(names, boxes, strict=True)], None
    except (MemoryError, cv2.error, ValueError) as error:  # a picture too large, for one
        reason = f"{shot.name}: cannot be decoded ({one_line(error)[:200]}); expected an image"
        return [Cut(n, shot.film, b, error=reason) for n, b in zip(names, boxes, strict=True)], None
    cuts = []
    for name, box in zip(names, boxes, strict=True):
        try:
            part = picture if box is None else box.cut(picture, shot.name)
        except UserError as error:
            cuts.append(Cut(name, shot.film, box, error=one_line(error)))
            continue
        # a view of a large picture would keep all of it
        view = small(part).copy() if wanted.view else None
        cuts.append(Cut(name, shot.film, box, np.ascontiguousarray(sized(part, size, fit)), view))
    return cuts, picture if wanted.picture else None
