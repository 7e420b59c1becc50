"""Folders that results are written to: locked, swept, and only emptied on request."""

import contextlib
import datetime
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnad.run import UserError
from mnad.run.files import TEMPORARY, read_json


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the one lock of a run folder, beside it, so that it may be emptied; whoever dies lets go of it.

    Raises:
        UserError: another process holds it, or the place cannot be written.
    """
    from filelock import FileLock, Timeout

    path = folder.with_name(f".{folder.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise UserError(f"{folder}: another run is writing there; expected another --out, or patience") from error
    except (OSError, NotImplementedError) as error:
        raise UserError(f"{path}: cannot be locked ({error}); expected a writable folder") from error
    try:
        yield
    finally:
        lock.release()  # its empty file stays: whoever deletes one may delete another's


def occupied(folder: Path) -> bool:
    """Whether ``folder`` holds anything but temporary files of a command that was killed."""
    return any(not TEMPORARY.fullmatch(path.name) for path in folder.iterdir())


def sweep(folder: Path) -> None:
    """Drop temporary files below ``folder``, whose lock must be held: nobody else is writing them."""
    for path in folder.rglob(".*.tmp"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def stamped(name: str) -> Path:
    """``runs/<name>-<date>-<time>``: the default output folder of a command, new at each call."""
    return Path("runs") / f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"


def output_folder(path: str | Path, overwrite: bool = False) -> Path:
    """``path`` as a folder to write to, made if need be.

    Raises:
        UserError: something is there already (anything but an empty folder) without ``overwrite``, or the
            folder cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        full = occupied(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be made ({error.strerror}); expected a folder to write to") from error
    if full and not overwrite:
        raise UserError(f"{path}: already there; expected another --out or --overwrite")
    return path


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a run folder; empty if there is none.

    Raises:
        UserError: see :func:`read_json`.
    """
    path = folder / "config.json"
    return read_json(path) if path.is_file() else {}


def check_run_folder(out: Path, overwrite: bool, resume: bool = False, mark: str = "compare") -> Path:
    """``out`` if :func:`open_run_folder` would open it; changes nothing, so it can be asked before the data are read.

    Raises:
        UserError: both were asked for; or ``out`` exists and neither was, or is not a run folder.
    """
    if overwrite and resume:
        raise UserError("--overwrite and --resume exclude each other; expected one of them")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; expected a folder")
    if out.is_dir() and occupied(out):
        if not (overwrite or resume):
            raise UserError(f"{out}: exists already; expected a new folder, --overwrite or --resume")
        if mark not in read_config(out):
            raise UserError(f"{out}: holds other files than a run of this command; expected its run folder")
    return out


def open_run_folder(out: Path, overwrite: bool, resume: bool = False, mark: str = "compare") -> Path:
    """Make the folder ``out``. An existing one that holds anything needs ``overwrite`` (emptied) or ``resume`` (kept).

    Only a folder with the ``config.json`` of the same command, which has the key ``mark``, is ever emptied. That file
    goes last, so that an interruption leaves a folder that can be emptied again. Its lock must be held.

    Raises:
        UserError: see :func:`check_run_folder`; or it cannot be written.
    """
    check_run_folder(out, overwrite, resume, mark)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in sorted(out.iterdir(), key=lambda path: path.name == "config.json") if overwrite else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        sweep(out)
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror}); expected a writable path") from error
    return out


def check_still_there(out: Path) -> None:
    """Raises ``UserError`` for a run folder that was emptied, moved or deleted while its run was writing."""
    if not (out / "config.json").is_file():
        raise UserError(f"{out}: was emptied or deleted during the run; expected it to stay")
