"""Verdicts on an archive, in partitions: a list of files, and for each part of it one Parquet file with its rows.

A partition is in its place when all of its rows are, so that a run which is begun again knows what is left. Names that
begin with ``_`` are no data to readers of Parquet: a folder is one table to any of them.
"""

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnad.detector import Detector
from mnad.detector.measuring import Again
from mnad.line.boxes import Box
from mnad.line.cuts import Wanted
from mnad.line.scoring import score
from mnad.line.sources import file_shots
from mnad.line.summary import Summary
from mnad.run import UserError, not_installed, one_line
from mnad.run.ahead import batched
from mnad.run.files import atomic_path
from mnad.run.verdict import Verdict
from mnad.run.verdict_table import columns, json_row

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError as error:
    raise not_installed("ray", "pyarrow", "cluster") from error

LISTS, TRIES = "_files", "_tries"
MOST = 5  # workers that may die at one partition; one that kills all of them must end
KEY = b"mnad"  # what a partition says of itself, in its metadata
ROWS = 4096  # of a row group
NUMBERS = ("score", "threshold", "margin")
NAMES = ("path", "verdict", "error", "camera", "time")
LISTED = pa.schema([("path", pa.binary())])  # a file name may be no UTF-8


def schema(terms: Sequence[str]) -> "pa.Schema":
    """Columns of a table of verdicts: text, and float64 that is null beside an error."""
    return pa.schema([(name, pa.string() if name in NAMES else pa.float64()) for name in columns(terms)])


@dataclass(frozen=True)
class Archive:
    """The folder of one archive.

    Attributes:
        folder: of the partitions.
        digest: SHA-256 of settings and list, which each partition carries.
        files: listed, in all.
        partition: files of a partition; the last may have fewer.
    """

    folder: Path
    digest: str
    files: int
    partition: int

    @property
    def parts(self) -> int:
        """Number of partitions."""
        return -(-self.files // self.partition)

    def size(self, part: int) -> int:
        """Files of one partition."""
        return min(self.partition, self.files - part * self.partition)

    def table(self, part: int) -> Path:
        """Where the rows of a partition are, or will be."""
        return self.folder / f"part-{part:06d}.parquet"

    def told(self, part: int) -> dict[str, Any] | None:
        """What a finished partition says of itself: ``counts`` of verdicts, ``again``, ``difference``; None before.

        Raises:
            UserError: damaged, or of another archive.
        """
        path = self.table(part)
        if not path.is_file():
            return None
        try:
            found = json.loads((pq.read_metadata(path).metadata or {})[KEY])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{path}: is damaged or no partition of an archive ({one_line(error)[:200]}); expected one of this "
                f"archive; without the file it is scored again"
            ) from error
        if (found["archive"], found["part"]) != (self.digest, part):
            raise UserError(f"{path}: belongs to another archive; expected one of this; without it, it is scored again")
        return found

    def left(self) -> list[int]:
        """Partitions without a file. Raises ``UserError``, see :meth:`told`."""
        return [part for part in range(self.parts) if self.told(part) is None]

    def score(self, detector: Detector, part: int, boxes: Sequence[Box] = ()) -> None:
        """Score one partition and write it; one that is there is left alone.

        Raises:
            UserError: the files are not to be seen from this machine, the partition cannot be written, or ``MOST``
                workers have died at it.
        """
        if self.told(part) is not None:  # finished by a worker that has died before it could say so
            return
        tries = self.begin(part)
        names, seen = read_list(self.folder, part)
        if seen and not any(map(os.path.lexists, names)):
            raise UserError(
                f"{names[0]!r}: is not there on {socket.gethostname()}, and no other file of partition {part}; "
                f"expected folders that every machine of the cluster sees under the same path"
            )
        detector.again = Again()
        summary, terms = Summary(0, 0), detector.scores[detector.primary].names
        every = (shot for name in names for shot in file_shots(Path(name)))
        with atomic_path(self.table(part)) as temporary, pq.ParquetWriter(temporary, schema(terms)) as writer:
            for some in batched(score(detector, every, Wanted(boxes, workers=0)), ROWS):
                for one in some:
                    summary.add(one.verdict)
                rows = [json_row(one.verdict) for one in some]
                writer.write_table(pa.Table.from_pylist(rows, schema(terms)))
            told = {"archive": self.digest, "part": part, "counts": dict(summary.counts)}
            told |= {"again": detector.again.images, "difference": detector.again.largest}
            writer.add_key_value_metadata({KEY: json.dumps(told).encode()})
        tries.unlink(missing_ok=True)

    def begin(self, part: int) -> Path:
        """Note that a worker begins with ``part``; gives the file that counts them.

        Raises:
            UserError: too many have begun and never ended.
        """
        tries = self.folder / TRIES / f"part-{part:06d}"
        tries.parent.mkdir(exist_ok=True)
        with tries.open("a", encoding="utf-8") as file:
            file.write(f"{socket.gethostname()} {os.getpid()}\n")
        died = len(tries.read_text(encoding="utf-8").splitlines()) - 1
        if died >= MOST:
            raise UserError(
                f"{list_path(self.folder, part)}: {died} workers have died at these files ({tries}); expected files "
                f"that can be decoded, and enough memory; finished partitions stay, and the same command goes on"
            )
        return tries

    def summary(self, top: int) -> tuple[Summary, Again]:
        """Counts of all partitions, their ``top`` worst rows and first errors, and what bfloat16 did; only the
        partitions that hold those rows are read.

        Raises:
            UserError: a partition that is not there, or damaged.
        """
        summary, again, highest = Summary(0, top), Again(), {}
        for part in range(self.parts):
            told = self.told(part)
            if told is None:
                raise UserError(f"{self.table(part)}: missing; expected finished partitions to stay")
            summary.counts.update(told["counts"])
            summary.lost += told["counts"].get("error", 0)
            again.add(told["again"], told["difference"])
            highest[part] = self.highest(part)
            if told["counts"].get("error") and len(summary.errors) < top:
                table = pq.read_table(self.table(part), columns=["path", "error"])
                wrong = table.filter(pc.not_equal(table["error"], "")).slice(0, top - len(summary.errors))
                summary.errors += [Verdict(row["path"], error=row["error"]) for row in wrong.to_pylist()]
        worst = summary.table
        for part in sorted(highest, key=lambda part: highest[part], reverse=True) if top else ():
            if len(worst.heap) == top and highest[part] < worst.heap[0][0]:
                break
            table = pq.read_table(self.table(part), columns=["path", "score", "threshold"]).drop_null()
            for row in table.sort_by([("score", "descending")]).slice(0, top).to_pylist():
                worst.add(Verdict(row["path"], row["score"], row["threshold"]))
        return summary, again

    def highest(self, part: int) -> float:
        """The highest score of a partition, by its metadata; minus infinity without any."""
        found = pq.read_metadata(self.table(part))
        column = found.schema.names.index("score")
        groups = [found.row_group(group).column(column).statistics for group in range(found.num_row_groups)]
        return max((group.max for group in groups if group is not None and group.has_min_max), default=-float("inf"))


def list_path(folder: Path, part: int) -> Path:
    """Where the list of the files of a partition is."""
    return folder / LISTS / f"part-{part:06d}.parquet"


def write_list(folder: Path, part: int, names: list[bytes]) -> None:
    """The list of a partition, and whether any of its files was there."""
    seen = any(map(os.path.lexists, names))
    table = pa.table([names], LISTED).replace_schema_metadata({KEY: json.dumps({"seen": seen}).encode()})
    with atomic_path(list_path(folder, part)) as temporary:
        pq.write_table(table, temporary)


def read_list(folder: Path, part: int) -> tuple[list[str], bool]:
    """The names of :func:`write_list`, and whether any of the files was there.

    Raises:
        UserError: missing or damaged.
    """
    path = list_path(folder, part)
    try:
        table = pq.read_table(path)
        return [os.fsdecode(name) for name in table["path"].to_pylist()], json.loads(table.schema.metadata[KEY])["seen"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)[:200]}); expected a list of this archive") from error
