"""A dataset from a link or an archive into a folder that the other commands can read."""

import errno
import glob
import hashlib
import lzma
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

from mnad.config import LayoutOptions
from mnad.data.layouts import is_video, read_layout
from mnad.data.videos import read_videos
from mnad.run import UserError, not_installed, one_line
from mnad.run.files import free

MAX_UNPACKED = 50_000_000_000  # bytes; far above any dataset that this project knows
MAX_RATIO = 100  # unpacked bytes for each byte of the archive; photographs and videos do not get smaller at all
SMALL = 100_000_000  # unpacked bytes up to which the ratio does not matter
RETRIES = 2  # of a download that breaks off; each goes on where the one before ended


def download(link: str, target: Path, timeout: float = 60) -> None:
    """``link`` (Google Drive or http) into the file ``target``, with a progress bar.

    What a download that breaks off has brought stays beside ``target``, and the next one goes on from there.

    Args:
        timeout: seconds without a byte after which it is given up.

    Raises:
        UserError: gdown is not installed, the link leads to no file, or nothing comes any more.
    """
    try:
        import gdown  # optional: the extra "data"
    except ImportError as error:
        raise not_installed(link, "gdown", "data") from error
    try:
        done = gdown.download(
            link, str(target), use_cookies=False, resume=True, timeout=timeout, retries=RETRIES, quiet=not shown()
        )
    except Exception as error:  # gdown's own, and whatever its HTTP library raises
        parts = [path for path in target.parent.glob(f"{glob.escape(target.name)}*.part") if drop_empty(path)]
        kept = f"; {parts[0]} is kept, the same command goes on with it" if parts else ""
        reason = one_line(error).partition(" The received bytes are kept in")[0]
        raise UserError(f"{link}: cannot be downloaded ({reason}); expected a link to a public file{kept}") from error
    if done is None or not target.is_file():
        raise UserError(f"{link}: leads to no file; expected a link to a public file")


def shown() -> bool:
    """Whether somebody looks at the progress."""
    return sys.stderr.isatty()


def drop_empty(part: Path) -> bool:
    """Whether ``part`` of a download holds anything; it is removed if not."""
    if part.stat().st_size:
        return True
    part.unlink()
    return False


def check_room(total: int, archive: Path, name: str) -> None:
    """Raises ``UserError`` when the members of ``archive`` would take more than ``MAX_UNPACKED`` bytes, or more than
    ``MAX_RATIO`` times what the archive does."""
    most = min(MAX_UNPACKED, max(SMALL, MAX_RATIO * archive.stat().st_size))
    if total > most:
        raise UserError(f"{name}: unpacks to {total:,} bytes; expected at most {most:,}")


def unzip(archive: Path, folder: Path, name: str) -> None:
    """Unpack every member of a zip; :func:`shutil.unpack_archive` drops those with two dots in their name, unasked.

    Raises:
        UserError: nothing in it, too much in it, or a member that would leave ``folder``.
    """
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        if not members:
            raise UserError(f"{name}: is empty; expected a zip or tar archive of a dataset")
        check_room(sum(member.file_size for member in members), archive, name)
        for inside in file.namelist():
            if inside.startswith("/") or ".." in Path(inside).parts:
                raise UserError(f"{name}: {inside} lies outside the archive's folder; expected a path inside")
        file.extractall(folder)


def untar(archive: Path, folder: Path, name: str) -> None:
    """Unpack every member of a tar, compressed or not.

    Raises:
        UserError: nothing in it, too much in it, or an end that is missing: tarfile takes a header that is cut off
            for the end of the archive, and what follows it for nothing.
        tarfile.TarError, OSError: no tar, damaged, or a member that would leave ``folder``.
    """
    with tarfile.open(archive) as file:
        total = 0
        for member in file:
            total += member.size
            check_room(total, archive, name)
        file.fileobj.seek(file.offset)
        if file.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise UserError(f"{name}: is cut off after {len(file.getmembers())} members; expected a whole archive")
        if not file.getmembers():
            raise UserError(f"{name}: is empty; expected a zip or tar archive of a dataset")
        file.extractall(folder, filter="data")


def not_unpacked(name: str, error: Exception) -> UserError:
    """What is wrong with an archive, in one line."""
    # tarfile tells what each way of compression thinks of the file
    reason = "no known format" if "could not be opened successfully" in str(error) else one_line(error)
    return UserError(f"{name}: cannot be unpacked ({reason}); expected a zip or tar archive")


def unpack(archive: Path, folder: Path, name: str = "") -> Path:
    """Unpack ``archive`` (zip or tar, compressed or not) into ``folder``; returns the folder that holds the dataset.

    Args:
        name: what errors call the archive; none is its path.

    Raises:
        UserError: another kind of file, a damaged one, a full disk, or see :func:`unzip` and :func:`untar`.
    """
    name = name or str(archive)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if zipfile.is_zipfile(archive):
            unzip(archive, folder, name)
        else:
            untar(archive, folder, name)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"{folder}: no space left to unpack {name}; expected a larger disk") from error
        raise not_unpacked(name, error) from error
    # RuntimeError: an encrypted zip
    except (RuntimeError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise not_unpacked(name, error) from error
    inside = [p for p in folder.iterdir() if not p.name.startswith((".", "__MACOSX"))]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def describe(root: Path, layout: str = "auto", options: LayoutOptions | None = None) -> str:
    """What the dataset in ``root`` holds, in one line.

    Raises:
        UserError: it fits no layout, or the layout's reader refuses it.
    """
    if is_video(root, layout, options):
        videos = read_videos(root)
        frames = sum(len(video) for video in videos.test)  # type: ignore[misc, arg-type]  # a folder has no films
        return f"{len(videos.train)} training videos, {len(videos.test)} test videos with {frames} frames"
    found = read_layout(root, layout, options=options)
    return (
        f"{len(found.train)} normal training images, {len(found.known)} known anomalies, "
        f"{len(found.test)} test images ({int(found.labels.sum())} abnormal)"
    )


def fetch(
    source: str, out: Path, layout: str = "auto", options: LayoutOptions | None = None, timeout: float = 60
) -> str:
    """Put the dataset behind ``source`` (link or local archive) into the new folder ``out``.

    It appears only when it is complete and can be read. A download that breaks off leaves its part beside ``out``, and
    the next call with the same link goes on from there.

    Args:
        timeout: see :func:`download`.

    Returns:
        :func:`describe` of it.

    Raises:
        UserError: ``out`` holds something, or see :func:`download`, :func:`unpack`, :func:`describe`.
    """
    free(out, "a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent)
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror}); expected a writable folder") from error
    with temporary as folder:
        archive = Path(source)
        if "://" in source:
            kept = out.parent / f".{out.name}-{hashlib.sha256(source.encode()).hexdigest()[:8]}-"
            download(source, kept, timeout)
            archive = kept.replace(Path(folder) / "archive")
        elif not archive.is_file():
            raise UserError(f"{source}: missing; expected an archive or a link (https://...)")
        root = unpack(archive, Path(folder) / "unpacked", source)
        try:
            line = describe(root, layout, options)
        except UserError as error:
            raise UserError(f"{source}: {str(error).replace(f'{root}', 'archive')}") from error
        root.replace(out)
    return line
