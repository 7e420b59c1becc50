"""Datasets from archives and links."""

import functools
import http.server
import shutil
import tarfile
import threading
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import ROOT
from layouts_on_disk import two_folders
from video_data import write_dataset

from mnad.config import LayoutOptions
from mnad.data.fetch import fetch, unpack


@pytest.fixture(params=["zip", "tar", "gztar"])
def archive(request: pytest.FixtureRequest, tiny_wells: Path, tmp_path: Path) -> Path:
    """The tiny wells inside a folder of their own, packed."""
    return Path(shutil.make_archive(str(tmp_path / "wells"), request.param, tiny_wells.parent, tiny_wells.name))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Address under which this machine serves ``tmp_path``."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_archive(
    archive: Path, tiny_wells: Path, tmp_path: Path, script: Callable, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "new" / "data"
    assert script("get_data", "--source", archive, "--out", out) == 0
    assert files(out) == files(tiny_wells)
    counts = [len(list((tiny_wells / role).iterdir())) for role in ("train", "proliv", "test/imgs")]
    expected = "{} normal training images, {} known anomalies, {} test images (".format(*counts)
    assert expected in capsys.readouterr().out
    assert sorted(p.name for p in out.parent.iterdir()) == ["data"]  # nothing temporary stays
    assert script("get_data", "--source", archive, "--out", out) == 2  # nothing is replaced
    assert f"{out}: exists already; expected a new folder" in capsys.readouterr().err


def test_link(tiny_wells: Path, tmp_path: Path, served: str) -> None:
    pytest.importorskip("gdown")
    shutil.make_archive(str(tmp_path / "wells"), "zip", tiny_wells)
    fetch(f"{served}/wells.zip", tmp_path / "data")
    assert files(tmp_path / "data") == files(tiny_wells)
    with pytest.raises(ValueError, match=r"nothing\.zip: cannot be downloaded"):
        fetch(f"{served}/nothing.zip", tmp_path / "other")


def test_videos(tmp_path: Path) -> None:
    write_dataset(tmp_path / "raw", 9)
    path = shutil.make_archive(str(tmp_path / "videos"), "zip", tmp_path / "raw")
    videos = [len(list((tmp_path / "raw" / role / "frames").iterdir())) for role in ("training", "testing")]
    expected = f"{videos[0]} training videos, {videos[1]} test videos with {9 * videos[1]} frames"
    assert fetch(path, tmp_path / "data") == expected


def test_layout_and_options(tmp_path: Path) -> None:
    two_folders(tmp_path / "raw", "plain", "odd")
    path = shutil.make_archive(str(tmp_path / "scans"), "gztar", tmp_path / "raw")
    with pytest.raises(ValueError, match="fits no known layout"):
        fetch(path, tmp_path / "data")
    line = fetch(path, tmp_path / "data", "two_folders", LayoutOptions(normal="plain", abnormal="odd"))
    assert "0 known anomalies" in line and (tmp_path / "data" / "odd").is_dir()


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.zip: missing; expected an archive or a link"):
        fetch(str(tmp_path / "none.zip"), tmp_path / "data")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(ValueError, match=r"text\.zip: cannot be unpacked \(.*\); expected a zip or tar archive"):
        fetch(str(tmp_path / "text.zip"), tmp_path / "data")
    (tmp_path / "a.txt").write_text("no image")
    shutil.make_archive(str(tmp_path / "odd"), "zip", tmp_path, "a.txt")
    with pytest.raises(ValueError, match=r"odd\.zip: archive.*fits no known layout"):
        fetch(str(tmp_path / "odd.zip"), tmp_path / "data")
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.add(tmp_path / "a.txt", "../escaped.txt")
    with pytest.raises(ValueError, match=r"evil\.tar: cannot be unpacked \(.*outside the destination"):
        fetch(str(tmp_path / "evil.tar"), tmp_path / "data")
    for name in ("../escaped.txt", "in/../../escaped.txt", "/escaped.txt"):
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
            file.writestr(name, "no image")
        with pytest.raises(
            ValueError, match=rf"evil\.zip: {name} lies outside the archive's folder; expected a path inside"
        ):
            fetch(str(tmp_path / "evil.zip"), tmp_path / "data")
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "escaped.txt").exists()


def test_no_member_of_a_zip_is_lost(tmp_path: Path) -> None:
    root = two_folders(tmp_path / "raw")
    (root / "normal" / "000.png").rename(root / "normal" / "scan..000.png")
    fetch(shutil.make_archive(str(tmp_path / "scans"), "zip", root), tmp_path / "data")
    assert files(tmp_path / "data") == files(root)


def test_python_is_new_enough_for_the_data_filter() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11.4"  # ``filter`` of shutil.unpack_archive


@pytest.mark.parametrize("cut", [3 * 1536 + 100, 3 * 1536, 2 * 1536 + 700])
def test_a_tar_that_is_cut_off(tmp_path, cut):
    """In a header, before one, in the payload: tarfile takes the first two for the end of the archive."""
    (tmp_path / "payload").write_bytes(b"x" * 1000)
    with tarfile.open(tmp_path / "whole.tar", "w") as file:
        for i in range(5):
            file.add(tmp_path / "payload", f"data/{i}.jpg")  # a header of 512 bytes and 1,024 for each
    (tmp_path / "cut.tar").write_bytes((tmp_path / "whole.tar").read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"cut\.tar: (is cut off after 3 members|cannot be unpacked)"):
        unpack(tmp_path / "cut.tar", tmp_path / "cut")
    assert len(list(unpack(tmp_path / "whole.tar", tmp_path / "whole").iterdir())) == 5


def test_too_much_to_unpack(tmp_path, monkeypatch):
    monkeypatch.setattr("mnad.data.fetch.MAX_UNPACKED", 999)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(1000))
    with tarfile.open(tmp_path / "bomb.tgz", "w:gz") as file:
        (tmp_path / "zeros").write_bytes(bytes(1000))
        file.add(tmp_path / "zeros", "zeros")
    for name in ("bomb.zip", "bomb.tgz"):
        with pytest.raises(ValueError, match="unpacks to 1,000 bytes; expected at most 999"):
            unpack(tmp_path / name, tmp_path / "out")
