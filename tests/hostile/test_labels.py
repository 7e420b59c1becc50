"""Annotations, frame labels and descriptions of layouts of odd structure: one line that says where."""

import io
import os
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from layouts_on_disk import textile, two_folders
from odd_files import encoded, picture
from sandbox import some_quick
from video_data import walk, write_frames

from mnad.data.layout import read_annotation
from mnad.data.videos import read_label_file
from mnad.run import UserError

ANNOTATIONS = {
    "empty": (b"", "has no line in"),
    "other_name": (b"b.png 0\n", "b.png is not in"),
    "twice": (b"a.png 0\na.png 0\n", "listed twice"),
    "no_label": (b"a.png\n", "expected 'name label'"),
    "label_alone": (b"1\n", "expected 'name label'"),
    "label_two": (b"a.png 2\n", "label 0 or 1"),
    "label_text": (b"a.png spill\n", "label 0 or 1"),
    "label_float": (b"a.png 1.0\n", "label 0 or 1"),
    "label_of_other_script": ("a.png \u0661\n".encode(), "label 0 or 1"),
    "comma": (b"a.png,0\n", "expected 'name label'"),
    "tab": (b"a.png\t0\n", "expected 'name label'"),
    "path": (b"../imgs/a.png 0\n", "is not in"),
    "zero_byte": (b"a.png\0 0\n", "is not in"),
    "latin_1": (b"caf\xe9.png 0\n", "is not UTF-8"),
    "utf_16": ("a.png 0\n".encode("utf-16"), "is not UTF-8"),
    "binary": (bytes(range(256)), "is not UTF-8"),
    "one_long_line": (b"a" * 100_000 + b" 0\n", "is not in"),
}


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    """A test folder of one image without annotation."""
    (tmp_path / "set/test/imgs").mkdir(parents=True)
    (tmp_path / "set/test/imgs/a.png").write_bytes(encoded("png", picture()))
    return tmp_path / "set"


@pytest.mark.parametrize("name", some_quick(ANNOTATIONS, 4))
def test_annotations(sandbox, tmp_path, tested, name):
    content, reason = ANNOTATIONS[name]
    (tested / "test/test_annotation.txt").write_bytes(content)
    line = sandbox.run("evaluate", "--checkpoint", "wells", "--data", "set", cwd=tmp_path).refused(reason)
    assert len(line) < 1000 or name == "one_long_line"


@pytest.mark.parametrize("kind", some_quick(["missing", "folder", "pipe", "endless"], 3))
def test_annotations_that_are_no_file(sandbox, tmp_path, tested, kind):
    path = tested / "test/test_annotation.txt"
    {
        "missing": lambda: None,
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "endless": lambda: path.symlink_to("/dev/zero"),
    }[kind]()
    sandbox.run("evaluate", "--checkpoint", "wells", "--data", "set", cwd=tmp_path).refused("test_annotation.txt")


def test_annotations_of_windows_and_of_names_with_blanks(tmp_path):
    (tmp_path / "imgs").mkdir()
    for name in ("a b.png", "c.png"):
        (tmp_path / "imgs" / name).write_bytes(encoded("png", picture()))
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbfa b.png 1\r\n\r\nc.png  0\r\n")
    paths, labels = read_annotation(tmp_path / "t.txt", tmp_path / "imgs")
    assert [path.name for path in paths] == ["a b.png", "c.png"] and labels.tolist() == [1, 0]


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npy_header(text: str, version: int = 1) -> bytes:
    """A .npy file of a header alone."""
    body = text.encode() + b"\n"
    size = struct.pack("<H", len(body)) if version == 1 else struct.pack("<I", len(body))
    return b"\x93NUMPY" + bytes([version, 0]) + size + body


LABELS = {
    "empty": (b"", "is not a .npy array"),
    "text": (b"0 1 0 1 0 1\n", "is not a .npy array"),
    "cut": (npy(np.zeros(6))[:-8], "is not a .npy array"),
    "archive": (b"PK\x05\x06" + bytes(18), "is not a .npy array"),
    "pickle": (npy(np.array([0, None] * 3), allow_pickle=True), "is not a .npy array"),
    "scalar": (npy(np.array(1)), "expected 1 x 6 labels"),
    "none": (npy(np.zeros(0)), "0 labels; expected 6"),
    "two_rows": (npy(np.zeros((2, 3))), "expected 1 x 6 labels"),
    "column": (npy(np.zeros((6, 1, 2))), "expected 1 x 6 labels"),
    "too_few": (npy(np.zeros(5)), "5 labels; expected 6"),
    "halves": (npy(np.full(6, 0.5)), "other values than 0 and 1"),
    "nan": (npy(np.full(6, np.nan)), "other values than 0 and 1"),
    "infinite": (npy(np.full(6, np.inf)), "other values than 0 and 1"),
    "negative": (npy(np.full(6, -1)), "other values than 0 and 1"),
    "words": (npy(np.array(["0"] * 6)), "values of type <U1"),
    "complex": (npy(np.zeros(6, complex)), "values of type complex128"),
    "dates": (npy(np.zeros(6, "M8[s]")), "values of type datetime64"),
    "records": (npy(np.zeros(6, [("a", "i4")])), "values of type"),
    "lies_about_its_size": (
        npy_header("{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }"), "is not a .npy array"
    ),
    "header_of_code": (npy_header("__import__('os').system('touch broken')"), "is not a .npy array"),
    "header_of_brackets": (npy_header("(" * 5000), "is not a .npy array"),
    "header_of_another_version": (npy_header("{}", 9), "is not a .npy array"),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_frame_labels(tmp_path, name):
    content, reason = LABELS[name]
    (tmp_path / "l.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"l\.npy: ") as caught:
        read_label_file(tmp_path / "l.npy", 6)
    assert reason in str(caught.value) and "\n" not in str(caught.value)
    assert not Path("broken").exists()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float64"])
@pytest.mark.parametrize("shape", [(6,), (1, 6), (6, 1)])
def test_frame_labels_of_any_number(tmp_path, dtype, shape):
    np.save(tmp_path / "l.npy", (np.arange(6) % 2).astype(dtype).reshape(shape))
    assert read_label_file(tmp_path / "l.npy", 6).tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("kind", some_quick(["none", "two", "pipe", "folder", "lies_about_its_size", "pickle"], 3))
def test_frame_labels_by_the_command(sandbox, tmp_path, kind):
    write_frames(tmp_path / "set/testing/frames/01", walk(6, 1, 0))
    path = tmp_path / "set/a.npy"
    if kind == "two":
        np.save(path, np.zeros(6))
        np.save(path.with_name("b.npy"), np.zeros(6))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind in LABELS:
        path.write_bytes(LABELS[kind][0])
    sandbox.run("evaluate", "--checkpoint", "synthetic", "--data", "set", cwd=tmp_path).refused("npy")


DESCRIPTIONS = {
    "empty": (b"", "expected train"),
    "list": (b"- train\n", "expected train"),
    "no_train": (b"known: ['*.png']\n", "expected train"),
    "unknown_key": (b"train: '*.png'\nvalid: 1\n", "expected train"),
    "number": (b"train: 1\n", "expected a glob"),
    "absolute": (b"train: '/etc/*'\n", "expected a glob"),
    "no_image": (b"train: '*.xyz'\n", "fits no image"),
    "bad_glob": (b"train: '**x'\n", "is no glob"),
    "long_glob": (b"train: '" + b"x" * 5000 + b"'\n", "is no glob"),
    "latin_1": (b"train: 'caf\xe9'\n", "cannot be read"),
    "no_yaml": (b"train: [\n", "expected a YAML description"),
    "code": (b"train: !!python/object/apply:os.system ['touch broken']\n", "expected a YAML description"),
    "deep": (b"train: " + b"[" * 20_000, "expected a YAML description"),
    "circle": (b"train: &a [*a]\n", "expected a glob"),
    "aliases": (
        b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(b"%c: &%c [%s]\n" % (i, i, b",".join([b"*%c" % (i - 1)] * 9))
        for i in range(98, 107)) + b"train: *j\n", "keys a, b, c"
    ),
    "mask_attribute": (b"train: 'normal/*.png'\ntest_anomalous: 'abnormal/*'\nmasks: '{stem.__class__}'\n", "masks: "),
    "mask_width": (b"train: 'normal/*.png'\ntest_anomalous: 'abnormal/*'\nmasks: '{stem:999999999}'\n", "masks: "),
    "mask_number": (b"train: 'normal/*.png'\ntest_anomalous: 'abnormal/*'\nmasks: 7\n", "masks: "),
    "two_roles": (b"train: 'normal/*.png'\ntest_normal: 'normal/*.png'\ntest_anomalous: 'abnormal/*'\n", "one role"),
}  # fmt: skip


@pytest.mark.parametrize("name", some_quick(DESCRIPTIONS, 4))
def test_descriptions(sandbox, tmp_path, name):
    content, reason = DESCRIPTIONS[name]
    two_folders(tmp_path / "set")
    (tmp_path / "d.yaml").write_bytes(content)
    words = ["--data", "set", "--layout_options.description", "d.yaml", "--out", "run"]
    sandbox.run("train_mnad", *words, cwd=tmp_path).refused(reason)
    assert not (tmp_path / "broken").exists()


TABLES = {
    "empty": b"",
    "header_alone": b"index,indication_value,angle\n",
    "other_columns": b"a,b\n1,2\n",
    "text": b"index,indication_value,angle\nx,0,1\n",
    "nan": b"index,indication_value,angle\nnan,0,1\n",
    "huge": b"index,indication_value,angle\n99999999999999999999999,0,1\n",
    "too_few": b"index,indication_value,angle\n0,0,1\n",
    "twice": b"index,indication_value,angle\n" + b"0,0,1\n" * 5,
    "quotes": b'index,indication_value,angle\n"0,0,1\n',
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("name", some_quick(TABLES, 4))
def test_tables_of_textile(sandbox, tmp_path, name):
    textile(tmp_path / "set")
    (tmp_path / "set/test32.csv").write_bytes(TABLES[name])
    line = sandbox.run("evaluate", "--checkpoint", "synthetic", "--data", "set", cwd=tmp_path).refused("test32.csv")
    assert len(line) < 1000


def test_absurd_images_of_hdf5(sandbox, tmp_path):
    """A small file that says that each image has 3,600 million pixels."""
    textile(tmp_path / "set")
    with h5py.File(tmp_path / "set/test32.h5", "w") as file:
        file.create_dataset("images", (5, 60_000, 60_000), np.uint8, chunks=(1, 100, 100))
    result = sandbox.run("evaluate", "--checkpoint", "synthetic", "--data", "set", cwd=tmp_path)
    result.refused("test32.h5: 60000 x 60000 pixels; expected at most")


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_hdf5_files(sandbox, tmp_path, content):
    textile(tmp_path / "set")
    (tmp_path / "set/test32.h5").write_bytes(content)
    sandbox.run("evaluate", "--checkpoint", "synthetic", "--data", "set", cwd=tmp_path).refused("test32.h5")
