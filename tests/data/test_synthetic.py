"""Drawn wells: layout, determinism, labels, refusal of foreign folders, and what each kind looks like."""

import csv
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from mnad.data import synthetic
from mnad.data.drawing import KINDS, NUISANCES, SPILLS, STATES, draw_well
from mnad.data.synthetic import draw_wells
from mnad.run import UserError

SMALL = {"seed": 3, "n_train": 50, "n_spills": 5, "n_test_normal": 50, "n_test_spill": 8}


@pytest.fixture(scope="module")
def wells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_wells(tmp_path_factory.mktemp("drawn") / "wells", **SMALL)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def kinds_of(root: Path) -> dict[str, str]:
    with (root / "kinds.csv").open(newline="") as file:
        return {row["file"]: row["kind"] for row in csv.DictReader(file)}


def test_layout_and_counts(wells: Path) -> None:
    counts = Counter(str(path.parent.relative_to(wells)) for path in wells.rglob("*.jpg"))
    assert counts == {"train": 50, "proliv": 5, "test/imgs": 58}
    others = {str(path.relative_to(wells)) for path in wells.rglob("*") if path.is_file() and path.suffix != ".jpg"}
    assert others == {"test/test_annotation.txt", "kinds.csv", "synthetic.json"}
    assert list(wells.parent.iterdir()) == [wells]  # no temporary folder left


def test_same_seed_same_bytes_other_seed_differs(wells: Path, tmp_path: Path) -> None:
    first = contents(wells)
    assert contents(draw_wells(tmp_path / "again", **SMALL)) == first
    other = contents(draw_wells(tmp_path / "other", **{**SMALL, "seed": 4}))
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first if name.endswith(".jpg"))


def test_annotation_agrees_with_kinds(wells: Path) -> None:
    text = (wells / "test/test_annotation.txt").read_bytes()
    assert text.endswith(b"\r\n") and text.count(b"\n") == text.count(b"\r\n") == 58
    labels = dict(line.split(" ") for line in text.decode().split("\r\n")[:-1])
    kinds = {Path(name).name: kind for name, kind in kinds_of(wells).items() if name.startswith("test/imgs/")}
    assert labels == {name: "1" if kind in SPILLS else "0" for name, kind in kinds.items()}
    spills = sorted(int(Path(name).stem) for name, label in labels.items() if label == "1")
    assert spills[-1] - spills[0] > len(spills)  # names are shuffled, not one block of spills


def test_kinds_are_where_they_belong(wells: Path) -> None:
    kinds = kinds_of(wells)
    assert set(kinds) == {name for name in contents(wells) if name.endswith(".jpg")}
    folders = {
        folder: Counter(k for name, k in kinds.items() if name.startswith(folder))
        for folder in ("train", "proliv", "test")
    }
    assert set(kinds.values()) == set(KINDS) and set(STATES) <= set(folders["train"])
    assert folders["proliv"] == {"overflow": 5}
    assert folders["test"]["overflow"] == 6 and folders["test"]["empty"] == 2
    assert sum(folders["train"][kind] for kind in NUISANCES) == 1
    assert sum(folders["test"][kind] for kind in NUISANCES) == 10


def test_sizes_unequal_and_within_range(wells: Path) -> None:
    sizes = [cv2.imread(str(path)).shape for path in wells.rglob("*.jpg")]
    assert len(set(sizes)) > 20
    assert all(23 <= h <= 40 and 39 <= w <= 72 and c == 3 for h, w, c in sizes)


def test_complete_folder_is_returned_untouched(wells: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (wells, *wells.rglob("*"))}
    assert draw_wells(wells, **SMALL) == wells
    assert {path: path.stat().st_mtime_ns for path in (wells, *wells.rglob("*"))} == before


def test_foreign_folders_are_refused(wells: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    with pytest.raises(UserError, match="mine: exists and is not a folder of drawn wells; expected a new folder"):
        draw_wells(tmp_path / "mine", **SMALL)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match=r'exists with other settings .*"seed": 3.*; expected .*"seed": 9'):
        draw_wells(wells, **{**SMALL, "seed": 9})
    broken = draw_wells(tmp_path / "broken", **SMALL)
    (broken / "train/0007.jpg").unlink()
    with pytest.raises(UserError, match=r"1 files are missing, train/0007\.jpg first"):
        draw_wells(broken, **SMALL)


def test_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(rng: np.random.Generator, kind: str) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "draw_well", interrupt)
    with pytest.raises(KeyboardInterrupt):
        draw_wells(tmp_path / "wells", **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "value"), [("seed", -1), ("n_train", 0), ("n_test_spill", -3)])
def test_numbers_out_of_range_are_refused(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(UserError, match=f"{name} = {value}: expected"):
        draw_wells(tmp_path / "wells", **{**SMALL, name: value})


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match="'puddle': expected one of low, full"):
        draw_well(np.random.default_rng(0), "puddle")


def roughness_and_blueness(kind: str) -> tuple[float, float]:
    """Medians over 30 wells, inside the middle of the well: high-frequency deviation and blue minus red."""
    values = []
    for seed in range(30):
        image = draw_well(np.random.default_rng(seed), kind).astype(np.float32)
        height, width = image.shape[:2]
        middle = slice(int(0.3 * height), int(0.8 * height)), slice(int(0.3 * width), int(0.7 * width))
        grey = image.mean(axis=2)
        rough = (grey - cv2.GaussianBlur(grey, (0, 0), 1.5))[middle].std()
        values.append((rough, (image[..., 2] - image[..., 0])[middle].mean()))
    return tuple(np.median(values, axis=0))


def test_overflow_is_rougher_and_empty_smoother_and_bluer_than_normal() -> None:
    overflow, empty = roughness_and_blueness("overflow"), roughness_and_blueness("empty")
    for state in STATES:
        normal = roughness_and_blueness(state)
        assert overflow[0] > 1.5 * normal[0] > 1.5 * 1.5 * empty[0], state
        assert empty[1] > normal[1] + 10, state
