"""What the server keeps: the boxes of each camera, in files, and the last verdicts of each well, in memory."""

import csv
import datetime
import io
import re
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mnad.line.boxes import FIELDS, Box, read_boxes
from mnad.run import UserError
from mnad.run.files import write_text
from mnad.run.verdict import Verdict, camera_and_time
from mnad.run.verdict_table import json_row

NAME = re.compile(r"\w[\w .-]{0,63}")  # of a camera and of a well; also safe as the name of a file
MOST_BOXES = 1000


def check_name(name: str, of: str) -> str:
    """``name`` if it is one.

    Raises:
        UserError: empty, too long, or with other signs.
    """
    if not NAME.fullmatch(name) or name != name.strip():
        raise UserError(f"{of}: {name[:80]!r}; expected 1 to 64 letters, digits, blanks, dots, hyphens, underscores")
    return name


def verdict_row(verdict: Verdict, camera: str = "", well: str = "") -> dict[str, object]:
    """The row of one verdict as JSON; camera and time are those of the photograph, also where it is one of its wells.

    Args:
        camera: empty takes the one in the name of the file, if it has the plant's form.
        well: id of the box that was cut out; empty for all of the photograph.
    """
    photograph = verdict.path.removesuffix(f"#{well}") if well else verdict.path
    stamped, time = camera_and_time(photograph)
    return json_row(verdict) | {"camera": camera or stamped or None, "time": time or None}


class Cameras:
    """The boxes of each camera, one CSV file (id, x, y, width, height) for each in one folder.

    Files changed by hand count at once, since they are read anew each time.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """All cameras that have boxes, sorted."""
        files = sorted(self.folder.glob("*.csv")) if self.folder else []
        return [path.stem for path in files if NAME.fullmatch(path.stem)]

    def read(self, camera: str) -> list[Box]:
        """The boxes of one camera.

        Raises:
            UserError: it has none, or its file is damaged.
        """
        path = self._path(camera)
        if not path.is_file():
            known = ", ".join(self.names()) or "none has any yet"
            raise UserError(f"camera: {camera!r} has no boxes; expected one of those that have ({known})")
        return read_boxes(path)

    def write(self, camera: str, boxes: Sequence[Box]) -> None:
        """Save the boxes of one camera in place of those it had.

        Raises:
            UserError: no name, no boxes or too many, an id given twice, or the file cannot be written.
        """
        path = self._path(camera)
        if not 1 <= len(boxes) <= MOST_BOXES:
            raise UserError(f"boxes: {len(boxes)}; expected 1 to {MOST_BOXES}")
        for box in boxes:
            check_name(box.id, "boxes")
            if min(box.x, box.y) < 0 or min(box.width, box.height) < 1:
                raise UserError(f"boxes: {box.id!r} is {asdict(box)}; expected one with an inside")
        if len({box.id for box in boxes}) < len(boxes):
            raise UserError("boxes: an id is given twice; expected a new one for each well")
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(FIELDS)
        table.writerows(asdict(box).values() for box in boxes)
        write_text(path, text.getvalue())

    def _path(self, camera: str) -> Path:
        if self.folder is None:
            raise UserError("camera: the server was started without --boxes; expected a folder to keep them in")
        return self.folder / f"{check_name(camera, 'camera')}.csv"


@dataclass
class Well:
    """What is remembered of one well."""

    changed: int = 0
    thumbnail: str = ""
    rows: deque[dict[str, object]] = field(default_factory=deque)


class History:
    """The last verdicts of each well since the start, as many wells and verdicts as are asked for, not more."""

    def __init__(self, wells: int = 1000, verdicts: int = 60) -> None:
        self.most, self.verdicts = wells, verdicts
        self.wells: OrderedDict[tuple[str, str], Well] = OrderedDict()
        self.changes = 0
        self.start = secrets.token_hex(8)
        self._lock = threading.Lock()

    def add(self, verdict: Verdict, camera: str, well: str, thumbnail: str) -> None:
        """Remember one verdict.

        Args:
            camera: empty takes the one in the name of the file, if it has the plant's form.
            thumbnail: the picture as an address (``data:``).
        """
        row = verdict_row(verdict, camera, well)
        row["time"] = row["time"] or datetime.datetime.now().isoformat(timespec="milliseconds")
        key = (str(row["camera"] or ""), well)
        with self._lock:
            self.changes += 1
            entry = self.wells.setdefault(key, Well(rows=deque(maxlen=self.verdicts)))
            self.wells.move_to_end(key)
            entry.changed, entry.thumbnail = self.changes, thumbnail or entry.thumbnail
            entry.rows.append(row)
            while len(self.wells) > self.most:
                self.wells.popitem(last=False)

    def since(self, change: int) -> dict[str, object]:
        """The wells that changed after ``change``, a number that an earlier answer gave; 0 gives all.

        ``start`` of the answer tells one start of the server from another, whose numbers begin anew.
        """
        with self._lock:
            found = [
                {"camera": camera, "well": well, "thumbnail": entry.thumbnail, "verdicts": list(entry.rows)}
                for (camera, well), entry in self.wells.items()
                if entry.changed > change
            ]
            return {"start": self.start, "change": self.changes, "wells": found}
