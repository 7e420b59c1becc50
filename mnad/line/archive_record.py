"""An archive is begun, or gone on with: its settings and its list of files have to be those of before."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mnad.data.paths import SUFFIXES, VIDEO_SUFFIXES, PassedOver, expand, listed_words
from mnad.line.archive import LISTS, TRIES, Archive, list_path, read_list, write_list
from mnad.line.sources import is_stream
from mnad.run import UserError
from mnad.run.ahead import batched
from mnad.run.files import TEMPORARY, read_json, write_json
from mnad.run.folders import sweep
from mnad.run.provenance import provenance

RECORD, CHECKPOINT = "_archive.json", "_checkpoint.safetensors"
FORMAT = "mnad-archive-1"
SAME_LIST = "expected the same list, or another --out"


def listed(words: Iterable[str], passed: PassedOver) -> Iterator[Path]:
    """The files that ``words`` mean, as ``scripts/score.py`` finds them.

    Raises:
        UserError: a camera or a stream, which has no end.
    """
    for word in listed_words(words):
        if is_stream(word):
            raise UserError(f"{word}: is a camera or a stream; expected files, which an archive is made of")
        yield from expand(word, SUFFIXES + VIDEO_SUFFIXES, passed)


def check_folder(folder: Path) -> None:
    """Raises ``UserError`` for a folder that holds anything but an archive, or lists that were never finished."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; expected a folder")
    if folder.is_dir() and not (folder / RECORD).is_file():
        other = [path.name for path in folder.iterdir() if path.name != LISTS and not TEMPORARY.fullmatch(path.name)]
        if other:
            raise UserError(f"{folder}: holds other files ({other[0]}); expected a new folder, or that of an archive")


def check_list(folder: Path, part: int, names: list[bytes], first: int, files: int) -> None:
    """Raises ``UserError``, with the first difference, unless ``names`` are those of the partition, which begins with
    file ``first`` of ``files``."""
    stored = read_list(folder, part)[0] if list_path(folder, part).is_file() else []
    for index, name in enumerate(map(os.fsdecode, names)):
        before = stored[index] if index < len(stored) else "none"
        if before != name:
            number = f"file {first + index + 1:,} of its {files:,}"
            raise UserError(f"{folder}: {number} was {before}, is now {name}; {SAME_LIST}")


def open_archive(folder: Path, files: Iterable[Path], settings: Mapping[str, object], partition: int) -> Archive:
    """A new archive, or the one that was begun in ``folder``, whose lock must be held.

    Args:
        files: to score; listed below ``folder``, in flat memory.
        settings: what the verdicts rest on (the checkpoint's digest among it), JSON-able; the same as before.
        partition: files of a partition.

    Raises:
        UserError: the folder holds something else; no file; or a setting or the list is not that of before, with the
            first difference.
    """
    check_folder(folder)
    settings = {**settings, "partition": partition}
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else None
    if record is not None:
        if record.get("format") != FORMAT:
            raise UserError(f"{folder / RECORD}: is no record of an archive; expected one of the format {FORMAT!r}")
        for key, value in settings.items():
            if record["settings"].get(key) != value:
                before = record["settings"].get(key)
                raise UserError(
                    f"{folder}: was begun with the {key} {before}, now {value}; expected the same, or another --out"
                )
    digest, count = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()), 0
    for part, some in enumerate(batched(files, partition)):
        names = [os.fsencode(path) for path in some]
        for name in names:
            digest.update(len(name).to_bytes(8, "little") + name)
        if record is None:
            write_list(folder, part, names)
        else:
            check_list(folder, part, names, part * partition, record["files"])
        count += len(names)
    if record is not None and count < record["files"]:
        raise UserError(f"{folder}: was begun with {record['files']:,} files, now {count:,}; {SAME_LIST}")
    if not count:
        raise UserError("PATH: holds no file to score; expected photographs")
    if record is None:
        write_json(
            folder / RECORD,
            {"format": FORMAT, "files": count, "digest": digest.hexdigest(), "settings": settings} | provenance(),
        )
    sweep(folder)
    shutil.rmtree(folder / TRIES, ignore_errors=True)
    return Archive(folder, digest.hexdigest(), count, partition)
