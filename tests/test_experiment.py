"""A run as a whole: what a resumed one may not have lost, and what no run may be asked for."""

import json
import shutil

import pytest
from helpers import tiny_config

from mnad.experiment import run_experiment
from mnad.run import UserError


@pytest.fixture
def finished(wells, tmp_path):
    return run_experiment(tiny_config(data=wells, out=tmp_path / "run"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda train: (train / "0003.jpg").unlink(), r"train/0003\.jpg: is gone since the run began \(train\)"),
        (
            lambda train: shutil.copy(train / "0003.jpg", train / "new.jpg"),
            r"train/new\.jpg: is new since the run began",
        ),
        (lambda train: shutil.copy(train / "0004.jpg", train / "0003.jpg"), r"train/0003\.jpg: has changed since"),
    ],
    ids=["gone", "new", "changed"],
)
def test_a_resumed_run_needs_the_same_images(finished, wells, damage, message):
    before = (finished / "split.json").read_bytes()
    damage(wells / "train")
    with pytest.raises(UserError, match=message):
        run_experiment(tiny_config(data=wells, out=finished, resume=True))
    assert (finished / "split.json").read_bytes() == before


def test_split_holds_digests_of_what_was_seen(finished, wells):
    split = json.loads((finished / "split.json").read_text())
    assert set(split["sha256"]) == {*split["train"], *split["known"]}
    assert all(len(digest) == 64 for digest in split["sha256"].values())


def test_bad_photographs_are_left_out_and_counted(wells, tmp_path):
    (wells / "train" / "0002.jpg").write_bytes(b"")
    (wells / "test" / "imgs" / "0001.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"0002\.jpg: is empty"):
        run_experiment(tiny_config(data=wells, out=tmp_path / "refused"))
    with pytest.warns(UserWarning, match="left out"):
        run = run_experiment(tiny_config(data=wells, out=tmp_path / "run", skip_bad=True))
    record = json.loads((run / "provenance.json").read_text())
    assert {role: len(reasons) for role, reasons in record["left_out"].items()} == {"train": 1, "test": 1}
    assert len((run / "scores.csv").read_text().splitlines()) == 1 + 28 - 1


def test_a_score_made_for_wells_is_refused_elsewhere(tmp_path):
    from layouts_on_disk import mvtec

    config = tiny_config(data=mvtec(tmp_path / "screw"), out=tmp_path / "run")
    with pytest.raises(UserError, match="term WallHue is made for wells, but the data is mvtec; expected other terms"):
        run_experiment(config)
