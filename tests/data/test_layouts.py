"""Layouts of the other datasets, each in miniature: roles, splits, masks, and what is refused."""

import json
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest
from helpers import ROOT
from layouts_on_disk import SIZE, fill, mvtec, picture, spot_mask, textile, two_folders, write

from baselines.config import CompareConfig
from mnad.config import ImageConfig, LayoutOptions, TrainConfig
from mnad.data.dataset import Photographs
from mnad.data.images import Images
from mnad.data.layout import Layout
from mnad.data.layouts import detect_layout, read_layout
from mnad.data.masks import read_mask, read_masks
from mnad.data.mvtec import categories
from mnad.data.reading import read_image
from mnad.data.split_file import split_roles
from mnad.run import UserError
from mnad.run.cli import parse
from mnad.run.files import write_json

CONFIGS = ROOT / "configs"


def names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def check_layout(layout: Layout, allow_mixed: bool = False) -> dict[str, object]:
    """What reading the whole dataset finds."""
    return Photographs(layout, ImageConfig(*SIZE), allow_mixed).read()


# --- MVTec AD and marble ---


def test_mvtec_roles_and_masks(tmp_path: Path) -> None:
    layout = read_layout(mvtec(tmp_path))
    assert names(layout.train, tmp_path) == [f"train/good/{i:03}.png" for i in range(12)] and layout.known == []
    assert names(layout.test, tmp_path)[4:7] == ["test/good/004.png", "test/crack/000.png", "test/crack/001.png"]
    assert layout.labels.tolist() == [0] * 5 + [1] * 6
    masks = read_masks(layout, SIZE)
    assert not masks[:5].any() and all((mask == (spot_mask() > 0)).all() for mask in masks[5:])
    assert read_masks(layout, (8, 12))[5].sum() == masks[5].sum() / 4  # shrunk with the image


def test_a_mask_of_one_pixel_survives_shrinking(tmp_path: Path) -> None:
    layout = read_layout(mvtec(tmp_path))
    dot = np.zeros(SIZE, np.uint8)
    dot[5, 7] = 255
    write(tmp_path / "ground_truth/crack/000_mask.png", dot)
    assert read_masks(layout, (4, 6))[5].sum() == 1


def test_masks_of_16_bit_and_with_transparency(tmp_path: Path) -> None:
    layout = read_layout(mvtec(tmp_path / "data"))
    faint = write(tmp_path / "faint.png", (spot_mask() > 0).astype(np.uint16))
    colour = np.zeros((*SIZE, 4), np.uint8)  # red on a transparent background
    colour[spot_mask() > 0] = (0, 0, 255, 255)
    with h5py.File(tmp_path / "masks.h5", "w") as file:
        file["images"] = (spot_mask() > 0).astype(np.uint8)[None]
    for path in (faint, write(tmp_path / "colour.png", colour), tmp_path / "masks.h5" / "0"):
        assert (read_mask(path, layout.test[5], SIZE) == (spot_mask() > 0)).all()


def test_marble_known_defects_choose_the_threshold_only(tmp_path: Path) -> None:
    layout = read_layout(mvtec(tmp_path, masks=False, known=True))
    assert names(layout.known, tmp_path) == [f"train/{d}/{i:03}.png" for d in ("crack", "dot") for i in range(2)]
    assert len(layout.train) == 12 and layout.masks == {}


def test_several_categories(tmp_path: Path) -> None:
    mvtec(tmp_path / "bottle")
    mvtec(tmp_path / "cable")
    assert categories(tmp_path) == ["bottle", "cable"] and categories(tmp_path / "bottle") == []
    layout = read_layout(tmp_path, options=LayoutOptions(category="cable"))
    assert all("cable" in str(path) for path in layout.train + layout.test)
    with pytest.raises(UserError, match=r"category: '' in .*; expected bottle, cable"):
        read_layout(tmp_path)
    with pytest.raises(UserError, match=r"category: 'zipper' in .*; expected bottle, cable"):
        read_layout(tmp_path, options=LayoutOptions(category="zipper"))


def test_category_without_good(tmp_path: Path) -> None:
    fill(tmp_path / "train/crack", 2, 0)
    with pytest.raises(UserError, match="train/good: missing; expected a folder of images"):
        read_layout(tmp_path)


def test_masks_missing_or_of_another_size(tmp_path: Path) -> None:
    layout = read_layout(mvtec(tmp_path))
    bad = write(tmp_path / "ground_truth/dot/001_mask.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(UserError, match=r"dot/001_mask.png: mask of 8 x 8 pixels; expected the 24 x 16 of .*"):
        read_masks(layout, SIZE)
    bad.unlink()
    with pytest.raises(
        UserError, match=r"dot/001_mask.png: missing, as 1 of 6 masks; expected one for each test defect"
    ):
        read_layout(tmp_path)


# --- two folders ---


def test_masks_of_other_names_and_of_another_size_but_the_same_shape(tmp_path: Path) -> None:
    layout = read_layout(mvtec(tmp_path))
    expected = read_masks(layout, SIZE)
    for i in range(3):
        (tmp_path / f"ground_truth/dot/00{i}_mask.png").rename(tmp_path / f"ground_truth/dot/00{i}.png")
        large = cv2.resize(spot_mask(), (2 * SIZE[1], 2 * SIZE[0]), interpolation=cv2.INTER_NEAREST)
        write(tmp_path / f"ground_truth/crack/00{i}_mask.png", large)
    assert (read_masks(read_layout(tmp_path), SIZE) == expected).all()


def test_normals_of_another_usual_name(tmp_path: Path) -> None:
    mvtec(tmp_path, masks=False, known=True)
    (tmp_path / "train/good").rename(tmp_path / "train/NORMAL")
    (tmp_path / "test/good").rename(tmp_path / "test/ok")
    layout = read_layout(tmp_path)
    assert [len(files) for files in (layout.train, layout.known, layout.test)] == [12, 4, 11]
    assert layout.labels.sum() == 6
    assert layout.note == "train/NORMAL/ and test/ok/ taken as normal"
    (tmp_path / "train/no").mkdir()  # nobody knows which is meant
    with pytest.raises(UserError, match="train/good: missing; expected a folder of images"):
        read_layout(tmp_path)


def test_a_layout_one_folder_below_is_named(tmp_path: Path) -> None:
    two_folders(tmp_path / "archive" / "scans", "no", "yes")
    with pytest.raises(UserError, match=r"archive: fits no known layout, but scans/ in it does; expected .*/scans$"):
        read_layout(tmp_path / "archive")


def test_two_folders_split_is_seeded_and_disjoint(tmp_path: Path) -> None:
    root = two_folders(tmp_path, "no", "yes")
    options = LayoutOptions(normal="no", abnormal="yes", test_fraction=0.3, known_fraction=0.2)
    layout = read_layout(root, options=options)
    assert (len(layout.train), len(layout.known), layout.labels.tolist()) == (14, 2, [0] * 6 + [1] * 8)
    everything = [*layout.train, *layout.known, *layout.test]
    assert len(set(everything)) == 30
    assert all(("yes" in path.parts) == bool(label) for path, label in zip(layout.test, layout.labels, strict=True))
    assert read_layout(root, options=options).train == layout.train
    options.seed = 1
    assert read_layout(root, options=options).train != layout.train


def test_two_folders_without_known_anomalies_tests_on_all(tmp_path: Path) -> None:
    layout = read_layout(two_folders(tmp_path))
    assert layout.known == [] and layout.labels.sum() == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_fraction": 0.0}, "test_fraction: expected a share below 1, got 0.0"),
        ({"known_fraction": 1.0}, "known_fraction: expected a share below 1, got 1.0"),
        ({"test_fraction": 0.99}, "give 0 to train on and 20"),
        ({"abnormal": "sick"}, "sick: missing; expected a folder of images"),
    ],
)
def test_two_folders_refusals(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_layout(two_folders(tmp_path), options=LayoutOptions(**change))


@pytest.mark.parametrize(
    ("normal", "abnormal"),
    [("good", "bad"), ("No", "YES"), ("ok", "NOK"), ("Healthy", "tumor"), ("Non-defective", "Defects")],
)
def test_two_folders_of_usual_names_are_found_and_named(tmp_path: Path, normal: str, abnormal: str) -> None:
    root = two_folders(tmp_path, normal, abnormal)
    assert detect_layout(root) == "two_folders"
    layout = read_layout(root)
    assert layout.note == f"20 images of {normal}/ taken as normal, 10 of {abnormal}/ as anomalous"
    assert {path.parent.name for path in layout.train} == {normal}
    assert {path.parent.name for path in np.array(layout.test)[layout.labels == 1]} == {abnormal}


def test_two_folders_of_the_same_kind_and_folders_that_are_not_read(tmp_path: Path) -> None:
    root = two_folders(tmp_path, "no", "yes")
    fill(root / "spare", 1, 0)
    assert read_layout(root).note.endswith("as anomalous, not read: spare/")
    fill(root / "tumor", 1, 0)
    with pytest.raises(UserError, match=r"layout_options.abnormal: none, and .* has tumor, yes; expected one of them"):
        read_layout(root)
    assert read_layout(root, options=LayoutOptions(abnormal="yes")).labels.sum() == 10
    with pytest.raises(UserError, match=r"fits no known layout; .* such as normal/ and abnormal/, good/ and bad/"):
        detect_layout(two_folders(tmp_path / "odd", "plain", "bad"))
    with pytest.raises(
        UserError, match=r"expected a folder of normal images \(normal, normals, .*\) and one of anomal"
    ):
        read_layout(tmp_path / "odd", "two_folders")


# --- textile ---


@pytest.mark.parametrize("floats", [False, True])
def test_textile_reads_images_by_index(tmp_path: Path, floats: bool) -> None:
    layout = read_layout(textile(tmp_path, floats=floats), options=LayoutOptions(known_fraction=0.5))
    assert sorted(path.name for path in layout.train) == sorted(str(i) for i in range(12))
    assert len(layout.known) == 2 and all(int(path.name) >= 12 for path in layout.known)
    assert dict(zip([path.name for path in layout.test], layout.labels, strict=True)) == {
        "0": 0, "1": 0, "2": 0, "3": 1, "4": 1,
    }  # fmt: skip
    expected = cv2.cvtColor(picture(48003, grey=True), cv2.COLOR_GRAY2RGB)
    assert (read_image(tmp_path / "train32.h5/3") == expected).all()
    images = Images(layout.test, SIZE)
    assert images[layout.test.index(tmp_path / "test32.h5/4")].max() == 250
    assert check_layout(layout) == {
        "grey_images_among_colour": 0, "duplicates_test_train": 0, "duplicates_test_known": 0,
        "duplicates_known_train": 0,
    }  # fmt: skip


def test_textile_refusals(tmp_path: Path) -> None:
    root = textile(tmp_path / "short")
    rows = (root / "test32.csv").read_text().splitlines(keepends=True)
    (root / "test32.csv").write_text("".join(rows[:-1]))  # the last row is the first image: labels would shift
    with pytest.raises(UserError, match=r"test32\.csv: column 'index' \(4 rows\) does not number the 5 images"):
        read_layout(root)
    root = textile(tmp_path)
    with pytest.raises(UserError, match=r"train32.h5/99: no such image; expected a number below 16"):
        read_image(root / "train32.h5/99")
    table = pd.read_csv(root / "test32.csv")
    table.assign(index=[0, 1, 2, 3, 9]).to_csv(root / "test32.csv", index=False)
    with pytest.raises(UserError, match=r"test32.csv: column 'index' .*does not number the 5 images"):
        read_layout(root)
    table.drop(columns="indication_value").to_csv(root / "test32.csv", index=False)
    with pytest.raises(UserError, match=r"test32.csv: no whole numbers in column 'indication_value'"):
        read_layout(root)
    (root / "test32.csv").unlink()
    with pytest.raises(
        UserError, match=r"test32.csv: missing; expected a CSV file with the columns index, indication_value"
    ):
        read_layout(root)
    (root / "test64.h5").touch()
    with pytest.raises(UserError, match=r"2 files test\*.h5; expected exactly one"):
        read_layout(root)


def test_hdf5_of_another_content(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no")
    with h5py.File(tmp_path / "shape.h5", "w") as file:
        file["images"] = np.zeros((3, 4))
    with h5py.File(tmp_path / "range.h5", "w") as file:
        file["images"] = np.full((1, 4, 4), 7.0)
    for name, message in (
        ("text", "is no readable HDF5 file"),
        ("shape", r"shape \(3, 4\); expected N x H x W"),
        ("range", r"floats from 7.0 to 7.0; expected \[0, 1\]"),
        ("none", "missing; expected an HDF5 file"),
    ):
        with pytest.raises(UserError, match=message):
            read_image(tmp_path / f"{name}.h5/0")


# --- generic, and the stored split ---

DESCRIPTION = """
train: train/good/*.png
known: []
test_normal: ["test/good/00[0-2].png"]
test_anomalous: ["test/dot/*.png", "test/crack/000.png"]
masks: "ground_truth/{folder}/{stem}_mask.png"
"""


def test_generic_description(tmp_path: Path) -> None:
    description = tmp_path / "layout.yaml"
    description.write_text(DESCRIPTION)
    root = mvtec(tmp_path / "data")
    layout = read_layout(root, options=LayoutOptions(description=description))
    assert len(layout.train) == 12 and layout.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert names(layout.test, root)[3:] == [f"test/dot/00{i}.png" for i in range(3)] + ["test/crack/000.png"]
    assert layout.masks[root / "test/crack/000.png"] == root / "ground_truth/crack/000_mask.png"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train: train/good/*.png", "train: train/bad/*.png", "train: 'train/bad/.*' fits no image in"),
        ("train: train/good/*.png", "train: 3", "train: expected a glob inside.*, got None"),
        ("train: train/good/*.png", "train: ['']", "train: '' is no glob .*; expected one"),
        pytest.param(
            "train: train/good/*.png",
            "train: '**.png'",
            r"train: '\*\*.png' is no glob .*; expected one",
            marks=pytest.mark.skipif(sys.version_info >= (3, 13), reason="a glob since Python 3.13"),
        ),
        ("known: []", "seen: []", "keys train, seen, .*; expected train, and of known, test_normal"),
        ("known: []", "known: test/dot/000.png", "dot/000.png is in known and in test_anomalous; expected one role"),
        ("{stem}_mask", "{number}", "masks: expected a path with {folder} and {stem}, or a mapping, got .*"),
        ("{stem}_mask", "{stem}", "masks: .*dot/000.png is missing, as 4 of 4"),
        ("known: []", "known: [", "layout.yaml: expected a YAML description of the layout, got .*"),
    ],
)
def test_generic_refusals(tmp_path: Path, old: str, new: str, message: str) -> None:
    description = tmp_path / "layout.yaml"
    description.write_text(DESCRIPTION.replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        read_layout(mvtec(tmp_path / "data"), options=LayoutOptions(description=description))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [mvtec, two_folders, textile])
def test_a_stored_split_repeats_itself(tmp_path: Path, make) -> None:
    root = make(tmp_path / "data")
    layout = read_layout(root, options=LayoutOptions(seed=5, known_fraction=0.2))
    write_json(tmp_path / "split.json", split_roles(layout, [1, 2]))
    again = read_layout(root, options=LayoutOptions(description=tmp_path / "split.json"))
    assert (again.train, again.known, again.masks) == (layout.train, layout.known, layout.masks)
    label = dict(zip(layout.test, layout.labels.tolist(), strict=True))
    assert dict(zip(again.test, again.labels.tolist(), strict=True)) == label
    stored = json.loads((tmp_path / "split.json").read_text())
    assert stored["validation"] == stored["train"][1:3] and len(stored["train"]) > 3


def test_evaluation_needs_no_training_images(tmp_path: Path) -> None:
    description = tmp_path / "layout.yaml"
    description.write_text(DESCRIPTION)
    options = LayoutOptions(description=description)
    root = mvtec(tmp_path / "data")
    expected = read_layout(root, train=False, options=options).test
    (root / "train").rename(tmp_path / "elsewhere")
    assert read_layout(root, train=False, options=options).test == expected
    with pytest.raises(UserError, match=r"train: 'train/good/.*' fits no image"):
        read_layout(root, options=options)
    root = textile(tmp_path / "textile")
    for suffix in ("h5", "csv"):
        (root / f"train32.{suffix}").unlink()
    assert len(read_layout(root, train=False).test) == 5
    with pytest.raises(UserError, match=r"0 files train\*\.h5; expected exactly one"):
        read_layout(root)


# --- what may be wrong with any set ---


def test_duplicates_across_roles_are_counted_and_warned_about(tmp_path: Path) -> None:
    root = mvtec(tmp_path, known=True)
    assert check_layout(read_layout(root))["duplicates_known_train"] == 0
    (root / "train/dot/000.png").write_bytes((root / "train/good/011.png").read_bytes())
    for source, target in (("train/good/003", "test/good/000"), ("train/good/004", "test/dot/001")):
        (root / f"{target}.png").write_bytes((root / f"{source}.png").read_bytes())
    (root / "test/dot/002.png").write_bytes((root / "train/crack/000.png").read_bytes())
    with pytest.warns(UserWarning) as caught:
        found = check_layout(read_layout(root))
    assert (found["duplicates_test_train"], found["duplicates_test_known"]) == (2, 1)
    assert found["duplicates_known_train"] == 1
    assert any("2 of 11 test images are also in the train images" in str(w.message) for w in caught)


def test_grey_among_colour_is_counted_and_refused_where_it_gives_the_label_away(tmp_path: Path) -> None:
    root = mvtec(tmp_path)
    fill(root / "test/dot", 3, 500, spot=True, grey=True)
    layout = read_layout(root)
    with pytest.warns(UserWarning, match=r"3 of 23 images are grey, the others coloured \(first: .*dot/000.png"):
        assert check_layout(layout)["grey_images_among_colour"] == 3
    fill(root / "test/crack", 3, 600, spot=True, grey=True)
    with pytest.raises(UserError, match=r"crack/000.png: is grey, and grey or colour alone tells the test anomalies"):
        check_layout(layout)
    with pytest.warns(UserWarning, match="6 of 23 images are grey"):
        assert check_layout(layout, allow_mixed=True)["grey_images_among_colour"] == 6
    grey = [p for p in layout.test if "dot" in p.parts]
    assert check_layout(Layout(train=grey[:2], test=grey[2:], labels=np.ones(1)))["grey_images_among_colour"] == 0


def test_detection_by_folders(tmp_path: Path) -> None:
    assert detect_layout(mvtec(tmp_path / "a")) == "mvtec"
    mvtec(tmp_path / "several/bottle")
    assert detect_layout(tmp_path / "several") == "mvtec"
    assert detect_layout(two_folders(tmp_path / "b")) == "two_folders"
    assert detect_layout(textile(tmp_path / "c")) == "textile"
    fill(tmp_path / "wells/train", 1, 0)
    assert detect_layout(tmp_path / "wells") == "wells"
    with pytest.raises(UserError, match=r"fits no known layout; expected train/ and test/imgs/"):
        detect_layout(tmp_path / "wells/train")
    (tmp_path / "film" / "training" / "frames").mkdir(parents=True)
    for name in ("auto", "video"):
        with pytest.raises(UserError, match="film: videos; expected a folder of photographs"):
            read_layout(tmp_path / "film", name)
    with pytest.raises(UserError, match=r"layout: expected auto, wells, mvtec, .*, got 'coco'"):
        read_layout(tmp_path, "coco")


@pytest.mark.parametrize("name", ["wells", "mvtec", "marble", "two_folders", "textile", "generic"])
def test_the_configuration_of_every_dataset_fits_both_scripts(name: str) -> None:
    train = parse(TrainConfig, ["--config", str(CONFIGS / f"{name}.yaml")])
    compare = parse(CompareConfig, ["--config", str(CONFIGS / f"{name}.yaml")])
    assert train.layout == compare.layout and train.primary == compare.primary
    assert train.primary in train.scores
    if name != "wells":
        assert "wells" not in train.scores  # it looks for the wall of a well
