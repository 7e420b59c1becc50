"""A camera sees many wells: the boxes that cut its picture into them, and the picture with their verdicts."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mnad.run import UserError
from mnad.run.files import regular
from mnad.run.verdict import Verdict

FIELDS = ("id", "x", "y", "width", "height")
COLOURS = {"anomalous": (214, 39, 40), "normal": (31, 119, 60), "": (120, 120, 120)}  # RGB


@dataclass(frozen=True)
class Box:
    """One well in the picture of a camera, in pixels from the upper left corner."""

    id: str
    x: int
    y: int
    width: int
    height: int

    def cut(self, picture: np.ndarray, name: str) -> np.ndarray:
        """The well as a view of ``picture`` (H x W x 3).

        Raises:
            UserError: the box reaches beyond the picture.
        """
        height, width = picture.shape[:2]
        if self.x + self.width > width or self.y + self.height > height:
            raise UserError(
                f"{name}: box {self.id!r} ends at {self.x + self.width}, {self.y + self.height}; expected one inside "
                f"the picture of {width} x {height}"
            )
        return picture[self.y : self.y + self.height, self.x : self.x + self.width]


def read_boxes(path: Path) -> list[Box]:
    """The boxes of a CSV file with the columns id, x, y, width, height (whole pixels, others are ignored).

    Raises:
        UserError: unreadable, empty, a column missing, a number that is none, an empty box, an id given twice.
    """
    try:
        with regular(path, "a CSV file of boxes").open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            rows, found = list(table), table.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({error}); expected a CSV file of boxes") from error
    missing = [name for name in FIELDS if name not in found]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; expected {', '.join(FIELDS)}")
    boxes: dict[str, Box] = {}
    for line, row in enumerate(rows, 2):
        try:
            x, y, width, height = (int(row[name]) for name in FIELDS[1:])
        except (TypeError, ValueError) as error:
            numbers = [row[name] for name in FIELDS[1:]]
            raise UserError(f"{path}, line {line}: expected four whole numbers, got {numbers!s:.200}") from error
        if min(x, y) < 0 or min(width, height) < 1:
            raise UserError(f"{path}, line {line}: box {x}, {y}, {width}, {height}; expected one with an inside")
        name = (row["id"] or "").strip()
        if not name or name in boxes:
            raise UserError(f"{path}, line {line}: id {name!r}; expected a new name for each box")
        boxes[name] = Box(name, x, y, width, height)
    if not boxes:
        raise UserError(f"{path}: holds no box; expected one on each line after the header")
    return list(boxes.values())


def draw_overlay(picture: np.ndarray, verdicts: Mapping[Box, Verdict]) -> np.ndarray:
    """A copy of ``picture`` (H x W x 3 uint8 RGB) with each box, its id and its score, red where anomalous.

    Scores of wells without a verdict are left out; their boxes are grey.
    """
    drawn = np.ascontiguousarray(picture).copy()
    line = max(1, round(max(picture.shape[:2]) / 500))
    size = max(0.35, max(picture.shape[:2]) / 1600)
    for box, verdict in verdicts.items():
        colour = COLOURS[verdict.verdict]
        thick = line * 2 if verdict.anomalous else line
        cv2.rectangle(drawn, (box.x, box.y), (box.x + box.width - 1, box.y + box.height - 1), colour, thick)
        told = box.id if not math.isfinite(verdict.score) else f"{box.id} {verdict.score:.2f}"
        told = told.encode("ascii", "replace").decode()  # all that OpenCV's letters know
        (wide, high), base = cv2.getTextSize(told, cv2.FONT_HERSHEY_SIMPLEX, size, line)
        top = box.y - high - base if box.y >= high + base else box.y
        cv2.rectangle(drawn, (box.x, top), (box.x + wide + 2, top + high + base), colour, cv2.FILLED)
        corner = (box.x + 1, top + high + base // 2)
        cv2.putText(drawn, told, corner, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), line, cv2.LINE_AA)
    return drawn
