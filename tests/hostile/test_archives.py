"""Archives that are damaged, lie, or mean harm: refused in one line, with nothing left and nothing outside touched."""

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable

import pytest
from odd_files import JPEG, encoded, picture
from sandbox import some_quick

PHOTOGRAPHS = {
    **{f"wells/train/{i}.png": encoded("png", picture(i)) for i in range(5)},
    "wells/test/imgs/a.png": encoded("png", picture(9)),
    "wells/test/test_annotation.txt": b"a.png 0\n",
}
WHOLE = "5 normal training images, 0 known anomalies, 1 test images"


def tar(mode: str = "w", **members: bytes) -> bytes:
    """The photographs and ``members`` as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:
        for name, content in (PHOTOGRAPHS | members).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """The photographs and ``members`` as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in (PHOTOGRAPHS | members).items():
            file.writestr(name, content)
    return buffer.getvalue()


def special(kind: bytes, name: str = "wells/train/odd", link: str = "") -> bytes:
    """A tar with one member that is no file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for path, content in PHOTOGRAPHS.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        file.addfile(info)
    return buffer.getvalue()


def bomb_zip(size: int) -> bytes:
    """A small zip of zeros."""
    return zipped(zipfile.ZIP_DEFLATED, zeros=bytes(size))


def lying_zip() -> bytes:
    """A zip whose directory says that its one large member is small."""
    data = bytearray(bomb_zip(101_000_000))
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = (10).to_bytes(4, "little")
    return bytes(data)


def encrypted() -> bytes:
    """A zip whose flags say that it is encrypted."""
    data = bytearray(zipped())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := data.find(mark, place + 1)) >= 0:
            data[place + offset] |= 1
    return bytes(data)


def wrong_checksum() -> bytes:
    """A zip with one byte of a stored member changed."""
    data = bytearray(zipped())
    data[200] ^= 1
    return bytes(data)


TAR, ZIP, TGZ = tar(), zipped(), tar("w:gz")
with tarfile.open(fileobj=io.BytesIO(TAR)) as whole:
    FOURTH = whole.getmembers()[3].offset  # where the header of the fourth file begins
    END = whole.offset  # of what may not be missing: the marker of the end
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "archive"),
    "text": (lambda: b"no archive", "cannot be unpacked"),
    "html": (lambda: b"<html>quota exceeded</html>" * 100, "cannot be unpacked"),
    "image": (lambda: JPEG, "cannot be unpacked"),
    "zeros": (lambda: bytes(10_240), "is empty"),
    "empty_zip": (lambda: b"PK\x05\x06" + bytes(18), "is empty"),
    "empty_tar_gz": (lambda: gzip.compress(bytes(10_240)), "is empty"),
    "cut_in_header": (lambda: TAR[: FOURTH + 100], "is cut off after 3 members"),
    "cut_before_header": (lambda: TAR[:FOURTH], "is cut off after 3 members"),
    "cut_in_payload": (lambda: TAR[:2000], "cannot be unpacked"),
    "cut_in_first_header": (lambda: TAR[:200], "cannot be unpacked"),
    "cut_tar_gz": (lambda: TGZ[: len(TGZ) // 2], "cannot be unpacked"),
    "cut_zip": (lambda: ZIP[: len(ZIP) // 2], "cannot be unpacked"),
    "cut_zip_directory": (lambda: ZIP[:-30], "cannot be unpacked"),
    "flipped_tar_gz": (lambda: TGZ[:5000] + bytes([TGZ[5000] ^ 255]) + TGZ[5001:], "expected a"),
    "flipped_zip": (wrong_checksum, "cannot be unpacked"),
    "encrypted_zip": (encrypted, "cannot be unpacked"),
    "bomb_zip": (lambda: bomb_zip(101_000_000), "unpacks to 101,0"),
    "bomb_tar_gz": (lambda: tar("w:gz", zeros=bytes(101_000_000)), "unpacks to 101,0"),
    "lying_zip": (lying_zip, "cannot be unpacked"),
    "tar_outside": (lambda: tar(**{"../out.txt": b"x"}), "outside"),
    "tar_absolute_outside": (lambda: special(tarfile.SYMTYPE, "wells/l", "/etc/passwd"), "cannot be unpacked"),
    "tar_link_outside": (lambda: special(tarfile.SYMTYPE, "wells/l", "../../.."), "cannot be unpacked"),
    "tar_hard_link_outside": (lambda: special(tarfile.LNKTYPE, "wells/l", "../../x"), "cannot be unpacked"),
    "tar_pipe": (lambda: special(tarfile.FIFOTYPE), "cannot be unpacked"),
    "tar_device": (lambda: special(tarfile.CHRTYPE), "cannot be unpacked"),
    "zip_outside": (lambda: zipped(**{"../out.txt": b"x"}), "outside"),
    "zip_absolute": (lambda: zipped(**{"/out.txt": b"x"}), "outside"),
    "zip_long_name": (lambda: zipped(**{"wells/" + "x" * 300: b"x"}), "File name too long"),
    "tar_long_name": (lambda: tar(**{"wells/" + "x" * 300: b"x"}), "File name too long"),
    "zip_file_and_folder": (lambda: zipped(**{"wells/train": b"x"}), "cannot be unpacked"),
    "no_dataset": (lambda: zipped(**{"readme.txt": b"x"}), "fits no known layout"),
}


@pytest.mark.parametrize("name", some_quick(REFUSED, 3))
def test_refused(sandbox, tmp_path, name):
    content, reason = REFUSED[name]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "archive").write_bytes(content())
    line = sandbox.run("get_data", "--source", "archive", "--out", "data", cwd=tmp_path / "in").refused(reason)
    assert line.startswith("error: archive: ")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["archive"]  # nothing half done stays
    assert [path.name for path in tmp_path.iterdir()] == ["in"]  # nothing left it


ACCEPTED: dict[str, Callable[[], bytes]] = {
    "tar": lambda: TAR,
    "tar_gz": lambda: TGZ,
    "tar_xz": lambda: tar("w:xz"),
    "zip": lambda: ZIP,
    "zip_deflated": lambda: zipped(zipfile.ZIP_DEFLATED),
    "zip_behind_other_bytes": lambda: b"#!/bin/sh\n" + ZIP,
    "odd_names": lambda: zipped(**{"wells/train/$x_{$ \u202e.png": encoded("png", picture(7))}),
    "hidden_rubbish": lambda: zipped(**{"__MACOSX/x": b"x", ".DS_Store": b"x"}),
}


@pytest.mark.parametrize("name", some_quick(ACCEPTED, 3))
def test_accepted(sandbox, tmp_path, name):
    (tmp_path / "archive").write_bytes(ACCEPTED[name]())
    result = sandbox.run("get_data", "--source", "archive", "--out", "data", cwd=tmp_path)
    result.done(WHOLE.replace("5 normal", "6 normal") if name == "odd_names" else WHOLE)
    assert (tmp_path / "data" / "train" / "0.png").read_bytes() == PHOTOGRAPHS["wells/train/0.png"]


@pytest.mark.parametrize("cut", range(0, END, 3100))
@pytest.mark.slow
def test_a_tar_cut_anywhere(sandbox, tmp_path, cut):
    (tmp_path / "archive").write_bytes(TAR[:cut])
    sandbox.run("get_data", "--source", "archive", "--out", "data", cwd=tmp_path).refused()
    assert not (tmp_path / "data").exists()


def test_a_disk_that_is_full(sandbox, tmp_path):
    """A file that may not grow stands for it; tests/hostile/test_full_disk.py has a real one."""
    (tmp_path / "archive").write_bytes(zipped(large=os.urandom(100_000)))
    result = sandbox.run("get_data", "--source", "archive", "--out", "data", cwd=tmp_path, file_size=50_000)
    result.refused("File too large")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", ["pipe", "folder", "missing"])
def test_what_is_no_archive(sandbox, tmp_path, kind):
    if kind == "pipe":
        os.mkfifo(tmp_path / "archive")
    elif kind == "folder":
        (tmp_path / "archive").mkdir()
    result = sandbox.run("get_data", "--source", "archive", "--out", "data", cwd=tmp_path)
    result.refused("expected an archive or a link")


def test_a_place_that_is_taken(sandbox, tmp_path):
    (tmp_path / "archive").write_bytes(TAR)
    for name in ("file", "file/below"):
        (tmp_path / "file").write_text("mine")
        sandbox.run("get_data", "--source", "archive", "--out", name, cwd=tmp_path).refused(name)
    assert (tmp_path / "file").read_text() == "mine"
