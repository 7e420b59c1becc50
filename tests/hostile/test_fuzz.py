"""Random damage to images, films, annotations, labels, tables and archives: read, or refused in one line.

The quick cases run in this process, a few milliseconds each; the slow ones through the commands.
"""

import csv
import io
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_files import encoded
from test_archives import tar, zipped
from test_labels import npy
from video_data import walk, write_avi

from mnad.config import LayoutOptions
from mnad.data.fetch import unpack
from mnad.data.generic import read_generic
from mnad.data.layout import read_annotation
from mnad.data.reading import read_photo
from mnad.data.videos import film_frames, read_label_file
from mnad.line.boxes import read_boxes
from mnad.run import UserError
from mnad.run.files import read_json, read_table

QUICK = settings(max_examples=12, deadline=None, database=None, derandomize=True)
LONG = settings(QUICK, max_examples=300)


def fuzz(**strategies: st.SearchStrategy) -> Callable:
    """A test that calls the function below with a folder and many values, and one that does so for long."""

    def decorate(check: Callable) -> Callable:
        @pytest.mark.parametrize("amount", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
        def test(folder: Path, amount: settings) -> None:
            @amount
            @given(**strategies)
            def run(**values: Any) -> None:
                check(folder, **values)

            run()

        return test

    return decorate


WHOLE = {
    "a.jpg": encoded("jpeg"),
    "a.png": encoded("png"),
    "a.webp": encoded("webp"),
    "a.tif": encoded("tiff", compression="tiff_lzw"),
    "a.bmp": encoded("bmp"),
}


@st.composite
def damage(draw: st.DrawFn, whole: bytes) -> bytes:
    """``whole`` cut, overwritten, doubled, with bytes put in or taken out, several times."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "write", "insert", "remove", "cut", "double"]))
        some = draw(st.binary(min_size=1, max_size=20))
        if kind == "flip" and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "write":
            data[place : place + len(some)] = some
        elif kind == "insert":
            data[place:place] = some
        elif kind == "remove":
            del data[place : place + len(some)]
        elif kind == "cut":
            del data[place:]
        elif kind == "double":
            data += data[place:]
    return bytes(data)


def refused(error: UserError) -> None:
    """The message is one line of readable length that says what was expected."""
    text = str(error)
    assert "\n" not in text and "expected" in text and len(text) < 2000, text


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def check_image(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    try:
        pixels = read_photo(folder / name).pixels
    except UserError as error:
        refused(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size > 0


@fuzz(name=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_images(folder, name, data):
    check_image(folder, name, data.draw(damage(WHOLE[name])))


NUMBERS = itertools.count()  # an HDF5 file stays open under its name


def hdf5() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        images = np.random.default_rng(0).integers(0, 255, (5, 8, 8), dtype=np.uint8)
        file.create_dataset("images", data=images, chunks=(1, 8, 8), compression="gzip")
    return buffer.getvalue()


@fuzz(data=st.data())
def test_images_of_hdf5(folder, data):
    path = folder / f"{next(NUMBERS)}.h5"
    path.write_bytes(data.draw(damage(hdf5())))
    try:
        assert read_photo(path / "1").pixels.shape[2] == 3
    except UserError as error:
        refused(error)


@fuzz(content=st.binary(max_size=300))
def test_images_of_any_bytes(folder, content):
    check_image(folder, "x.jpg", content)


LINES = st.lists(
    st.one_of(
        st.sampled_from(["a.png 0", "b.png 1", "a.png 1", "c d.png 0", "a.png", "0", " ", "\ufeffa.png 0", "a.png 00"]),
        st.text(max_size=20),
    ),
    max_size=6,
)


@fuzz(lines=LINES, end=st.sampled_from(["\n", "\r\n", "\r", "\u2028"]), encoding=st.sampled_from(["utf-8", "utf-16"]))
def test_annotations(folder, lines, end, encoding):
    (folder / "imgs").mkdir(exist_ok=True)
    for name in ("a.png", "b.png", "c d.png"):
        (folder / "imgs" / name).write_bytes(WHOLE["a.png"][:10])
    (folder / "t.txt").write_bytes(end.join(lines).encode(encoding, "surrogatepass"))
    try:
        paths, labels = read_annotation(folder / "t.txt", folder / "imgs")
    except UserError as error:
        refused(error)
    else:
        assert len(paths) == len(labels) == 3 and set(labels) <= {0, 1}


@fuzz(data=st.data())
def test_frame_labels(folder, data):
    whole = npy(data.draw(st.sampled_from([np.arange(8) % 2, np.zeros((1, 8)), np.ones(8, bool), np.zeros(8, "f2")])))
    (folder / "l.npy").write_bytes(data.draw(damage(whole)))
    try:
        labels = read_label_file(folder / "l.npy", 8)
    except UserError as error:
        refused(error)
    else:
        assert labels.shape == (8,) and set(labels.tolist()) <= {0, 1}


CELLS = st.one_of(st.integers(-5, 50).map(str), st.text(max_size=6), st.sampled_from(["", "nan", "1e400", '"', "inf"]))
ROWS = st.lists(st.lists(CELLS, min_size=0, max_size=6), max_size=5)


@fuzz(header=st.lists(st.sampled_from(["id", "x", "y", "width", "height", "id", "z"]), max_size=7), rows=ROWS)
def test_boxes(folder, header, rows):
    with (folder / "b.csv").open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        csv.writer(file).writerows([header, *rows])
    try:
        boxes = read_boxes(folder / "b.csv")
    except UserError as error:
        refused(error)
    else:
        assert all(box.width > 0 and box.x >= 0 for box in boxes)


@fuzz(rows=ROWS, data=st.data())
def test_tables(folder, rows, data):
    text = "\n".join(["video,frame,score", *(",".join(row) for row in rows)])
    content = data.draw(damage(text.encode(errors="surrogatepass")))
    (folder / "t.csv").write_bytes(content)
    try:
        table = read_table(folder / "t.csv", {"video", "frame", "score"}, text=("video",))
    except UserError as error:
        refused(error)
    else:
        assert len(table) and table["frame"].dtype.kind in "biuf"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


KEYS = st.sampled_from(["train", "known", "test_normal", "masks", "validation", "x"])


@fuzz(value=st.dictionaries(KEYS, JSON | st.sampled_from(["*.png", "**", "../*", "/", "", "[", "\0"])))
def test_descriptions(folder, value):
    (folder / "set").mkdir(exist_ok=True)
    (folder / "set/a.png").write_bytes(WHOLE["a.png"])
    (folder / "d.json").write_text(json.dumps(value))
    try:
        layout = read_generic(folder / "set", options=LayoutOptions(description=folder / "d.json"))
    except UserError as error:
        refused(error)
    else:
        assert layout.train


@fuzz(content=st.binary(max_size=60) | JSON.map(lambda v: json.dumps(v).encode()))
def test_json(folder, content):
    (folder / "j.json").write_bytes(content)
    try:
        assert isinstance(read_json(folder / "j.json"), dict)
    except UserError as error:
        refused(error)


ARCHIVES = {"tar": tar(), "tgz": tar("w:gz"), "txz": tar("w:xz"), "zip": zipped(), "zip deflated": zipped(8)}


@fuzz(kind=st.sampled_from(sorted(ARCHIVES)), data=st.data())
def test_archives(folder, kind, data):
    content = data.draw(damage(ARCHIVES[kind]))
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "archive").write_bytes(content)
        try:
            unpack(Path(name) / "archive", Path(name) / "in" / "out")
        except UserError as error:
            refused(error)
        assert {path.name for path in Path(name).iterdir()} <= {"archive", "in"}
        assert {path.name for path in (Path(name) / "in").iterdir()} <= {"out"}


def film(folder: Path) -> bytes:
    return write_avi(folder / "whole.avi", walk(12, 1, 0)).read_bytes()


@fuzz(data=st.data())
def test_films(folder, data):
    whole = (folder / "whole.avi").read_bytes() if (folder / "whole.avi").exists() else film(folder)
    (folder / "a.avi").write_bytes(data.draw(damage(whole)))
    try:
        positions = [number for number, _ in film_frames(folder / "a.avi")]
    except UserError as error:
        refused(error)
    else:
        assert positions == list(range(len(positions)))


@pytest.mark.slow
@settings(QUICK, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_images_by_the_command(sandbox, data):
    """Ten damaged images at once, each with a verdict or a reason."""
    with tempfile.TemporaryDirectory() as name:
        for i in range(10):
            kind = data.draw(st.sampled_from(sorted(WHOLE)))
            (Path(name) / f"{i}{kind[1:]}").write_bytes(data.draw(damage(WHOLE[kind])))
        sandbox.run("score", ".", "--csv", "v.csv", cwd=Path(name)).judged()
        with (Path(name) / "v.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 10 and all(bool(row["verdict"]) != bool(row["error"]) for row in rows)
