"""Reading with one clear line for what is wrong, and writing without losing anything: every file is atomic."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnad.run import UserError, one_line

if TYPE_CHECKING:  # pandas is slow to import
    import pandas as pd


TEMPORARY = re.compile(r"\..+\.\d+\.tmp")  # what atomic_path leaves behind when its process is killed


def shipped_folder(name: str) -> Path:
    """A folder of files that are shipped with the code (``checkpoints``, ``configs``): inside an installed package,
    or beside it in a checkout."""
    package = Path(__file__).parents[1]
    return package / name if (package / name).is_dir() else package.parent / name


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path``; move it into place when the block succeeds, drop it when it fails.

    Raises:
        UserError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error.filename, str | bytes) and not concerns(error.filename, path):
            raise  # of another file that was open at the time
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); expected a writable path") from error
    finally:
        with contextlib.suppress(OSError):  # a parent that is a file: there is nothing to drop
            temporary.unlink(missing_ok=True)


def concerns(filename: str | bytes, path: Path) -> bool:
    """Whether ``filename`` of an error lies on the way to ``path`` or beside it."""
    place = Path(os.fsdecode(filename))
    return place == path or place == path.parent or place in path.parents or place.parent == path.parent


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content``, atomically.

    Raises:
        UserError: see :func:`atomic_path`; so do those that write text, tables and JSON.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically. Bytes of file names that are no UTF-8 become escapes, as JSON knows them."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_csv(path: Path, frame: "pd.DataFrame") -> None:
    """Write the rows of ``frame`` as CSV, atomically."""
    write_text(path, frame.to_csv(index=False))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. NaN and infinity raise ``ValueError``: they are no JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_distinct(**paths: Path | None) -> None:
    """Raises ``UserError`` if two of the options ``paths`` name one file: one result would replace the other."""
    seen: dict[str, str] = {}
    for name, path in paths.items():
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in seen:
            raise UserError(f"--{seen[place]} and --{name}: both {path}; expected two files")
        seen[place] = name


def regular(path: Path, expected: str) -> Path:
    """``path`` unless it is a pipe or a device, which may have no end.

    Raises:
        UserError: it is one; ``expected`` says what the file should have been.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no regular file; expected {expected}")
    return path


def read_json(path: Path, expected: str = "JSON") -> dict:
    """Parse ``path``.

    Raises:
        UserError: missing or no JSON object; ``expected`` says what the file should have been.
    """
    try:
        found = json.loads(regular(path, expected).read_text(encoding="utf-8"))
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}); expected {expected}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds no object; expected a JSON object")
    return found


def read_table(path: Path, columns: set[str], text: tuple[str, ...] = (), literal: bool = False) -> "pd.DataFrame":
    """A CSV file that has at least ``columns`` and one row. Those of ``columns`` that are not in ``text`` are numbers;
    those that are stay strings, so that ``01`` does not become 1.

    Args:
        literal: an empty cell or a word such as ``NA`` or ``None`` is text, too, not a missing number.

    Raises:
        UserError: unreadable, a column is missing or holds text instead of numbers, or there is no row.
    """
    import pandas as pd

    try:
        types = {name: str for name in text}
        frame = pd.read_csv(regular(path, "a table"), dtype=types, keep_default_na=not literal)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}); expected a table") from error
    missing = sorted(columns - set(frame.columns))
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; expected {', '.join(sorted(columns))}")
    if frame.empty:
        raise UserError(f"{path}: has no row below its header; expected one or more")
    for name in sorted(columns - set(text)):
        if frame[name].dtype.kind not in "biuf":
            wrong = frame[name][pd.to_numeric(frame[name], errors="coerce").isna()]
            raise UserError(f"{path}: column {name} holds {wrong.iloc[0]!r}; expected numbers")
    return frame


def read_log(path: Path) -> "pd.DataFrame":
    """The log of a training, one row for each epoch.

    Raises:
        UserError: missing, or no such log.
    """
    import pandas as pd

    try:
        log = pd.read_json(regular(path, "the log of a training"), lines=True)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is no log of a training ({error}); expected one JSON object a line") from error
    if "epoch" not in log or not {"pixel", "seconds"} & set(log.columns):  # what is fitted in closed form has no losses
        raise UserError(f"{path}: no epoch, or neither pixel nor seconds; expected the log of a training")
    return log


def free(path: Path, expected: str = "a new file") -> Path:
    """``path`` if nothing is there.

    Raises:
        UserError: something is; ``expected`` says what to give instead.
    """
    if path.exists():
        raise UserError(f"{path}: exists already; expected {expected}")
    return path


def check_replaceable(path: Path, mark: str) -> Path:
    """``path`` if nothing is there, or a file that begins with ``mark`` (an earlier result of the same command).

    Raises:
        UserError: something else is there; it would be lost.
    """
    if path.exists():
        try:
            if not path.is_file():  # a device or a pipe may have no end
                raise UserError(f"{path}: is no regular file; expected a new file")
            with path.open("rb") as file:
                ours = file.read(len(mark.encode())) == mark.encode()
        except OSError:
            ours = False
        if not ours:
            raise UserError(f"{path}: exists already and is no earlier result; expected a new file")
    return path
