"""The wells layout and everything that can be wrong with it."""

import pytest

from mnad.data.layout import read_wells
from mnad.data.layouts import detect_layout, read_layout
from mnad.run import UserError


def annotation(wells):
    return wells / "test" / "test_annotation.txt"


def test_roles(wells):
    layout = read_layout(wells)
    assert [len(layout.train), len(layout.known), len(layout.test)] == [48, 8, 28]
    assert layout.labels.sum() == 8 and len(layout.labels) == 28


def test_line_ends_make_no_difference(wells):
    crlf = read_wells(wells)
    assert b"\r\n" in annotation(wells).read_bytes()
    annotation(wells).write_bytes(annotation(wells).read_bytes().replace(b"\r\n", b"\n") + b"\n\n")
    lf = read_wells(wells)
    assert crlf.test == lf.test and (crlf.labels == lf.labels).all()


def test_names_with_spaces(wells):
    first = read_wells(wells).test[0]
    first.rename(first.with_name("a b.jpg"))
    annotation(wells).write_text(annotation(wells).read_text().replace(first.name, "a b.jpg"))
    assert "a b.jpg" in [path.name for path in read_wells(wells).test]


def test_evaluation_needs_only_the_test_folder(wells):
    for name in ("train", "proliv"):
        (wells / name).rename(wells.parent / name)
    assert len(read_layout(wells, train=False).test) == 28
    with pytest.raises(UserError, match="train: missing"):
        read_layout(wells)


def test_known_spills_may_be_missing(wells):
    (wells / "proliv").rename(wells.parent / "proliv")
    assert read_wells(wells).known == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text + "ghost.jpg 0\r\n", r"line 29: ghost\.jpg is not in"),
        (lambda text: text.split("\r\n", 1)[1], r"has no line in .*\(1 such files\)"),
        (
            lambda text: text.replace(" 1\r\n", " 2\r\n", 1),
            "line 8: expected 'name label' with label 0 or 1, got '0008.jpg 2'",
        ),
        (lambda text: text + "lonely\r\n", "line 29: expected 'name label'.*, got 'lonely'"),
        (lambda text: text + text.split("\r\n", 1)[0] + "\r\n", "is listed twice"),
    ],
)
def test_bad_annotations(wells, change, message):
    annotation(wells).write_bytes(change(annotation(wells).read_bytes().decode()).encode())
    with pytest.raises(UserError, match=message) as error:
        read_wells(wells)
    assert "\n" not in str(error.value)


def test_missing_parts(wells, tmp_path):
    annotation(wells).unlink()
    with pytest.raises(UserError, match=r"test_annotation\.txt: missing"):
        read_wells(wells)
    with pytest.raises(UserError, match="missing; expected a folder"):
        read_layout(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="fits no known layout"):
        detect_layout(tmp_path / "empty")
    with pytest.raises(UserError, match=r"layout: expected auto, .* or video, got 'imagenet'"):
        read_layout(wells, "imagenet")
