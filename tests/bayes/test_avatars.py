"""The folder of avatars: reading, attributes, regions, drawing."""

import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers import ROOT

from bayes import PixelGenerator, attribute_regions, load_attributes, load_avatars, make_people, render
from bayes.avatars import enlarge, parse_size, save_image
from bayes.drawing import OPTIONS
from mnad.run import UserError
from styles import styles, styles_count

FOLDER = ROOT / "avatars"


def write_png(path, image):
    path.write_bytes(cv2.imencode(".png", np.asarray(image, dtype=np.uint8))[1].tobytes())


def test_rgba_is_composited_on_white(tmp_path):
    # BGRA, as OpenCV writes it: opaque blue, half red, transparent, (50 * 100 + 255 * 155) / 255 = 174.6
    write_png(tmp_path / "a.png", [[[255, 0, 0, 255], [0, 0, 255, 128], [9, 9, 9, 0], [50, 50, 50, 100]]])
    write_png(tmp_path / "b.PNG", [[[3, 2, 1], [6, 5, 4], [9, 8, 7], [0, 0, 0]]])
    write_png(tmp_path / "c.png", [[0, 128, 255, 1]])
    images, names = load_avatars(tmp_path)
    assert names == ["a.png", "b.PNG", "c.png"]
    assert images.dtype == np.uint8
    assert images[0].tolist() == [[[0, 0, 255], [255, 127, 127], [255, 255, 255], [175, 175, 175]]]
    assert images[1].tolist() == [[[1, 2, 3], [4, 5, 6], [7, 8, 9], [0, 0, 0]]]
    assert images[2].tolist() == [[[0] * 3, [128] * 3, [255] * 3, [1] * 3]]


def test_saved_images_are_read_back(tmp_path):
    image = np.random.default_rng(0).integers(256, size=(5, 4, 3), dtype=np.uint8)
    save_image(tmp_path / "картинка.png", image)
    assert (load_avatars(tmp_path)[0][0] == image).all()


def test_bad_folders(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        load_avatars(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no \*\.png in this folder"):
        load_avatars(tmp_path)
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(UserError, match=r"a\.png: is not a readable image"):
        load_avatars(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.png: is empty"):
        load_avatars(tmp_path)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.zeros((2, 2), dtype=np.uint16))[1].tobytes())
    with pytest.raises(UserError, match=r"a\.png: .* 8 bits per channel"):
        load_avatars(tmp_path)


def test_unequal_sizes_need_a_size(tmp_path):
    write_png(tmp_path / "a.png", np.full((4, 6, 3), 100))
    write_png(tmp_path / "b.png", np.full((8, 12, 3), 50))
    with pytest.raises(UserError, match=r"b\.png: 12x8 pixels, but a\.png has 6x4; .*--size"):
        load_avatars(tmp_path)
    images, _ = load_avatars(tmp_path, size=(3, 2))
    assert images.shape == (2, 2, 3, 3)
    assert (images[0] == 100).all() and (images[1] == 50).all()


def test_sizes():
    assert parse_size("66x70") == (66, 70)
    for text in ("66", "0x5", "66x", "-1x4", "axb"):
        with pytest.raises(UserError, match=f"size: expected WIDTHxHEIGHT in pixels such as 66x70, got '{text}'"):
            parse_size(text)
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarge(image, 6)
    assert large.shape == (6, 6, 3)
    assert (large[::3, ::3] == image).all() and (large[2, 5] == image[0, 1]).all()


def test_the_fifty_avatars_have_the_counts_of_the_assignment():
    images, names = load_avatars(FOLDER)
    assert images.shape == (50, 560, 528, 3)
    attributes = load_attributes(FOLDER, names, styles)
    for category, values in styles.items():
        counts = attributes[category].value_counts().reindex(values, fill_value=0)
        assert counts.tolist() == styles_count[category], category
    pd.testing.assert_frame_equal(attributes.reset_index(drop=True), make_people(styles, styles_count, seed=0))


def test_bad_attributes(tmp_path):
    small = {"hair": ["no", "long"]}
    with pytest.raises(UserError, match=r"avatars\.csv: missing; expected .*file \(name of each PNG\), hair"):
        load_attributes(tmp_path, ["a.png"], small)
    table = tmp_path / "avatars.csv"
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"avatars\.csv: cannot be read \(.*utf-8"):
        load_attributes(tmp_path, ["a.png"], small)
    table.write_text("file,hat\na.png,no\n")
    with pytest.raises(UserError, match=r"avatars\.csv: no column hair; expected file, hair"):
        load_attributes(tmp_path, ["a.png"], small)
    table.write_text("file,hair\na.png,bald\n")
    with pytest.raises(UserError, match=r"no row for b\.png"):
        load_attributes(tmp_path, ["b.png"], small)
    with pytest.raises(UserError, match=r"avatars\.csv: a\.png: 'hair': 'bald' is unknown"):
        load_attributes(tmp_path, ["a.png"], small)
    table.write_text("file,hair\na.png,\n")
    with pytest.raises(UserError, match=r"avatars\.csv: a\.png: 'hair': '' is unknown"):
        load_attributes(tmp_path, ["a.png"], small)


def test_people_with_unequal_totals():
    with pytest.raises(UserError, match=r"totals \{'a': 3, 'b': 2\} differ"):
        make_people({"a": ["x", "y"], "b": ["z"]}, {"a": [1, 2], "b": [2]})
    with pytest.raises(UserError, match=r"^seed: expected a whole number of at least 0, got -1$"):
        make_people(styles, styles_count, seed=-1)


def test_regions_follow_the_attribute_that_paints_them():
    """Upper rows show the hair, the lower left quarter the glasses, the lower right the clothes."""
    rng = np.random.default_rng(0)
    hair, glasses, clothes = rng.integers(2, size=(3, 16))
    images = np.zeros((16, 4, 4, 3), dtype=np.uint8)
    images[:, :2] = 200 * hair[:, None, None, None]
    images[:, 2:, :2] = 90 * glasses[:, None, None, None]
    images[:, 2:, 2:] = 30 + 50 * clothes[:, None, None, None]
    attributes = pd.DataFrame({"h": hair, "g": glasses, "c": clothes})
    regions = attribute_regions(images, attributes, {"hair": ["h"], "glasses": ["g"], "clothes": ["c"]})
    assert regions.tolist() == [[0] * 4] * 2 + [[1, 1, 2, 2]] * 2
    new, log_probability = PixelGenerator().fit(images, regions=regions).sample(20, random_state=0)
    assert len(np.unique(new.reshape(20, -1), axis=0)) > 4, "new combinations"
    shares = [hair.mean(), glasses.mean(), clothes.mean()]
    shown = np.stack([new[:, 0, 0, 0] == 200, new[:, 3, 0, 0] == 90, new[:, 3, 3, 0] == 80], axis=1)
    np.testing.assert_allclose(np.exp(log_probability), np.where(shown, shares, 1 - np.array(shares)).prod(axis=1))


def test_options_cover_the_styles_one_to_one():
    assert {category: list(values) for category, values in OPTIONS.items()} == styles
    for category, values in OPTIONS.items():
        assert len({str(options) for options in values.values()}) == len(values), category


def test_drawing_needs_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    style = {category: values[0] for category, values in styles.items()}
    with pytest.raises(UserError, match=r"resvg_py.*mnad-wells\[avatars\]"):
        render(style)
    with pytest.raises(UserError, match=r"'одежда': expected one of .*'худи'.*, got None"):
        render({category: values[0] for category, values in styles.items() if category != "одежда"})


def test_every_value_changes_the_picture():
    pytest.importorskip("resvg_py", reason="needs the extra avatars")
    pytest.importorskip("dicebear", reason="needs the extra avatars")
    base = {category: values[-1] for category, values in styles.items()}
    for category, values in styles.items():
        pictures = {render(base | {category: value}, width=66).tobytes() for value in values}
        assert len(pictures) == len(values), category


def test_pictures_have_the_size_of_the_course():
    pytest.importorskip("resvg_py", reason="needs the extra avatars")
    pytest.importorskip("dicebear", reason="needs the extra avatars")
    picture = render({category: values[0] for category, values in styles.items()})
    assert picture.shape == (560, 528, 4)
    assert picture[0, 0, 3] == 0 and picture[-1, 264, 3] == 255
