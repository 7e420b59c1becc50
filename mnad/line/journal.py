"""The journal of a watched folder: each row exactly once, over restarts and SIGKILL, as CSV or SQLite.

What is still to be told (:mod:`mnad.line.alerts`) is in it, too: an anomalous row that a target has not acknowledged.
A target that a journal does not know yet is told of new rows only.
"""

import csv
import fcntl
import io
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from mnad.run import UserError
from mnad.run.verdict import ANOMALOUS, Verdict
from mnad.run.verdict_table import CSV_MARK, CsvWriter, columns

Row = Mapping[str, str]
SQLITE = (".sqlite", ".sqlite3", ".db")


def row_name(path: str) -> str:
    """How ``path`` stands in the journal: a name that is no UTF-8 is escaped."""
    return str(Verdict(path).row()["path"])


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises ``UserError`` when the disk is full or anything else keeps the journal from being written."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be written ({reason}); expected a writable journal") from error


class Journal(Protocol):
    """Rows that are never lost once :meth:`add` has returned, and never there twice. All methods may be called by
    any thread.
    """

    def has(self, path: str) -> bool:
        """Whether there is a row of this path."""
        ...

    def add(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Append those that are not there yet, on the disk when this returns; returns them.

        Raises:
            UserError: they cannot be written; then none of them is there.
        """
        ...

    def enrol(self, target: str) -> None:
        """From now on anomalous rows are due to ``target``, unless they are since an earlier time."""
        ...

    def due(self, target: str, most: int = 100) -> list[Row]:
        """The oldest anomalous rows that ``target`` has not acknowledged."""
        ...

    def acknowledge(self, target: str, path: str) -> None:
        """``target`` has been told of the row of ``path``."""
        ...

    def close(self) -> None:
        """Let another process have it."""
        ...


class Lock:
    """One process at a time; the kernel frees it even after SIGKILL."""

    def __init__(self, path: Path) -> None:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = path.with_name(f".{path.name}.lock").open("w")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.file.close()
            raise UserError(f"{path}: another process writes to it; expected a journal of its own") from error

    def close(self) -> None:
        """Free it."""
        self.file.close()


def cut_torn_row(file: io.FileIO) -> bytes:
    """The content of a CSV file, whose last row, torn by a crash, is cut off."""
    content = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
    whole = content[: content.rfind(b"\n") + 1]
    while whole.count(b'"') % 2:  # the end of a line inside quotes is none of a row
        whole = whole[: whole[:-1].rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.ftruncate(file.fileno(), len(whole))
    return whole


class Appended:
    """A file that grows by whole writes, each on the disk when it returns; one that fails leaves nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            self.file = open(path, "ab+", buffering=0)  # noqa: SIM115 - closed by close()
            self.content = cut_torn_row(self.file)

    def write(self, text: str) -> None:
        """Append ``text``.

        Raises:
            UserError: it cannot be written; the file is as before.
        """
        content, size = text.encode(), os.fstat(self.file.fileno()).st_size
        with writing(self.path):
            try:
                while content:
                    content = content[self.file.write(content) :]
                os.fsync(self.file.fileno())
            except OSError:
                os.ftruncate(self.file.fileno(), size)
                raise


class CsvJournal:
    """A table of verdicts; beside it ``FILE.told`` with what has been told to whom. All paths are in memory."""

    def __init__(self, path: Path, terms: Sequence[str]) -> None:
        self.terms, self.guard, self.lock = terms, threading.RLock(), Lock(path)
        if path.exists() and path.stat().st_size and not path.open("rb").read(len(CSV_MARK)) == CSV_MARK.encode():
            raise UserError(f"{path}: exists already and is no journal; expected a new file")
        self.rows = Appended(path)
        text = self.rows.content.decode("utf-8", "replace")
        header = ",".join(columns(terms)) + "\n"
        if text and not text.startswith(header):
            raise UserError(f"{path}: is the journal of a score with other terms; expected a new file")
        if not text:
            self.rows.write(header)
        known = list(csv.DictReader(io.StringIO(text, newline="")))
        self.rows.content = b""
        self.paths = {row["path"] for row in known}
        self.anomalous = [row for row in known if row["verdict"] == ANOMALOUS]
        self.count = len(known)
        self.told = Appended(path.with_name(f"{path.name}.told"))
        records = [json.loads(line) for line in self.told.content.splitlines()]
        self.since = {r["target"]: r["since"] for r in records if "since" in r}
        self.acknowledged = {(r["target"], r["path"]) for r in records if "path" in r}
        numbers = {row["path"]: i for i, row in enumerate(known)}
        self.waiting: dict[str, dict[str, Row]] = {
            target: {
                row["path"]: row
                for row in self.anomalous
                if numbers[row["path"]] >= since and (target, row["path"]) not in self.acknowledged
            }
            for target, since in self.since.items()
        }

    def has(self, path: str) -> bool:
        """See :class:`Journal`."""
        with self.guard:
            return row_name(path) in self.paths

    def add(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """See :class:`Journal`."""
        with self.guard:
            new = list({name: v for v in verdicts if (name := row_name(v.path)) not in self.paths}.values())
            buffer = io.StringIO()
            writer = CsvWriter(buffer, self.terms, header=False)
            for verdict in new:
                writer.write(verdict)
            if new:
                self.rows.write(buffer.getvalue())
            for verdict in new:
                row = {key: str(value) for key, value in verdict.row().items()}
                self.paths.add(row["path"])
                self.count += 1
                if verdict.anomalous:
                    for waiting in self.waiting.values():
                        waiting[row["path"]] = row
            return new

    def enrol(self, target: str) -> None:
        """See :class:`Journal`."""
        with self.guard:
            if target not in self.since:
                self.told.write(json.dumps({"target": target, "since": self.count}) + "\n")
                self.since[target], self.waiting[target] = self.count, {}

    def due(self, target: str, most: int = 100) -> list[Row]:
        """See :class:`Journal`."""
        with self.guard:
            return list(self.waiting[target].values())[:most]

    def acknowledge(self, target: str, path: str) -> None:
        """See :class:`Journal`."""
        with self.guard:
            self.told.write(json.dumps({"target": target, "path": path}) + "\n")
            self.waiting[target].pop(path, None)

    def close(self) -> None:
        """See :class:`Journal`."""
        self.rows.file.close()
        self.told.file.close()
        self.lock.close()


class SqliteJournal:
    """Table ``verdicts`` with the columns of a CSV of verdicts; ``targets`` and ``told`` beside it."""

    def __init__(self, path: Path, terms: Sequence[str]) -> None:
        self.path, self.guard, self.lock = path, threading.RLock(), Lock(path)
        self.names = columns(terms)
        listed = ", ".join(f'"{name}"' for name in self.names)
        self.insert = f"INSERT INTO verdicts ({listed}) VALUES ({', '.join('?' * len(self.names))})"
        with writing(path):
            self.base = sqlite3.connect(path, check_same_thread=False)
            self.base.row_factory = sqlite3.Row
            self.base.execute("PRAGMA journal_mode=WAL")
            self.base.execute("PRAGMA synchronous=FULL")
            with self.base:
                columns_sql = listed.replace('"path"', '"path" TEXT NOT NULL UNIQUE')
                self.base.execute(
                    f"CREATE TABLE IF NOT EXISTS verdicts (number INTEGER PRIMARY KEY AUTOINCREMENT, {columns_sql})"
                )
                self.base.execute("CREATE TABLE IF NOT EXISTS targets (target TEXT PRIMARY KEY, since INTEGER)")
                self.base.execute(
                    "CREATE TABLE IF NOT EXISTS told (target TEXT, path TEXT, PRIMARY KEY (target, path))"
                )
        with closing(self.base.execute("PRAGMA table_info(verdicts)")) as found:
            if [row["name"] for row in found][1:] != self.names:
                raise UserError(f"{path}: is the journal of a score with other terms; expected a new file")

    def has(self, path: str) -> bool:
        """See :class:`Journal`."""
        with self.guard:
            found = self.base.execute("SELECT 1 FROM verdicts WHERE path = ?", (row_name(path),))
            return found.fetchone() is not None

    def add(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """See :class:`Journal`."""
        with self.guard, writing(self.path), self.base:
            new = list({row_name(v.path): v for v in verdicts if not self.has(v.path)}.values())
            rows: Iterable[dict] = (verdict.row() for verdict in new)
            self.base.executemany(
                self.insert, [[None if (v := row.get(name, "")) == "" else v for name in self.names] for row in rows]
            )
            return new

    def enrol(self, target: str) -> None:
        """See :class:`Journal`."""
        with self.guard, writing(self.path), self.base:
            self.base.execute(
                "INSERT OR IGNORE INTO targets SELECT ?, COALESCE(MAX(number), 0) FROM verdicts", (target,)
            )

    def due(self, target: str, most: int = 100) -> list[Row]:
        """See :class:`Journal`."""
        with self.guard:
            found = self.base.execute(
                "SELECT * FROM verdicts WHERE verdict = ? AND number > (SELECT since FROM targets WHERE target = ?) "
                "AND path NOT IN (SELECT path FROM told WHERE target = ?) ORDER BY number LIMIT ?",
                (ANOMALOUS, target, target, most),
            )
            return [{name: "" if row[name] is None else str(row[name]) for name in self.names} for row in found]

    def acknowledge(self, target: str, path: str) -> None:
        """See :class:`Journal`."""
        with self.guard, writing(self.path), self.base:
            self.base.execute("INSERT OR IGNORE INTO told VALUES (?, ?)", (target, path))

    def close(self) -> None:
        """See :class:`Journal`."""
        self.base.close()
        self.lock.close()


def open_journal(path: Path, terms: Sequence[str]) -> Journal:
    """The journal in ``path``, by its ending; made if it is not there.

    Raises:
        UserError: another ending, another kind of file, of another score, used by another process, or not writable.
    """
    if path.suffix.lower() == ".csv":
        return CsvJournal(path, terms)
    if path.suffix.lower() in SQLITE:
        return SqliteJournal(path, terms)
    raise UserError(f"journal: expected a file ending in .csv or .sqlite, got {path}")
