"""Tables of verdicts as CSV or JSON, a row at a time, in flat memory; free of torch and pandas, for the runtime."""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from mnad.run.files import atomic_path, check_distinct, check_replaceable
from mnad.run.verdict import COLUMNS

if TYPE_CHECKING:
    from mnad.run.verdict import Verdict

CSV_MARK = ",".join(COLUMNS)  # how a table of verdicts begins, by which an earlier result is known
JSON_MARK = '{"format": "mnad-verdicts-1"'


class Writer(Protocol):
    """Takes the verdicts one by one."""

    def write(self, verdict: "Verdict") -> None:
        """Add one row."""
        ...


def columns(terms: Sequence[str]) -> list[str]:
    """Header of a table: ``COLUMNS``, camera, time, then the terms of the score."""
    return [*COLUMNS, "camera", "time", *terms]


class CsvWriter:
    """Rows of CSV into an open file; the header is written at once unless ``header`` is false."""

    def __init__(self, file: TextIO, terms: Sequence[str], header: bool = True) -> None:
        self.rows = csv.DictWriter(file, columns(terms), restval="", extrasaction="ignore", lineterminator="\n")
        if header:
            self.rows.writeheader()

    def write(self, verdict: "Verdict") -> None:
        """Add one row; numbers in full precision."""
        self.rows.writerow(verdict.row())


def json_row(verdict: "Verdict") -> dict[str, object]:
    """The row of one verdict as JSON-able values: what is missing, and what is no finite number, is None."""
    row: dict[str, object] = {}
    for name, value in verdict.row().items():
        missing = not math.isfinite(value) if isinstance(value, float) else value == "" and name != "error"
        row[name] = None if missing else value
    return row


class JsonWriter:
    """One JSON object ``{"format": ..., "verdicts": [...]}``, a row a line."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.separator = "\n"
        file.write(f'{JSON_MARK}, "verdicts": [')

    def write(self, verdict: "Verdict") -> None:
        """Add one row."""
        self.file.write(self.separator + json.dumps(json_row(verdict), ensure_ascii=False, allow_nan=False))
        self.separator = ",\n"

    def close(self) -> None:
        """End the object."""
        self.file.write("\n]}\n")


def check_tables(csv_path: Path | None, json_path: Path | None) -> None:
    """Raises ``UserError`` for one file twice, or if a file that is no earlier table of verdicts would be replaced."""
    check_distinct(csv=csv_path, json=json_path)
    for path, mark in ((csv_path, CSV_MARK), (json_path, JSON_MARK)):
        if path is not None:
            check_replaceable(path, mark)


@contextmanager
def open_tables(csv_path: Path | None, json_path: Path | None, terms: Sequence[str]) -> Iterator[list[Writer]]:
    """Writers of the tables asked for. The files are there, complete, when the block ends well, and unchanged else.

    Raises:
        UserError: a file that is no earlier table would be replaced, or cannot be written.
    """
    check_tables(csv_path, json_path)
    with ExitStack() as stack:

        def opened(path: Path) -> TextIO:
            temporary = stack.enter_context(atomic_path(path))
            return stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))

        writers: list[Writer] = []
        if csv_path is not None:
            writers.append(CsvWriter(opened(csv_path), terms))
        if json_path is not None:
            writers.append(JsonWriter(opened(json_path)))
        yield writers
        for writer in writers:
            if isinstance(writer, JsonWriter):
                writer.close()
