"""Run folders that something happened to: before the run, between two runs, while it was writing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import some
from helpers import TINY, tiny_config
from video_data import walk, write_dataset, write_frames

from baselines.compare import finished, read_run
from mnad.config import CalibrationConfig, ThresholdConfig
from mnad.experiment import run_experiment
from mnad.run import UserError
from mnad.run.folders import check_run_folder, locked, open_run_folder, output_folder
from mnad.run.settings import check_same_run
from mnad.training import loop
from mnad.training.state import kept_log


@pytest.mark.parametrize("options", [{"overwrite": True}, {"overwrite": False, "resume": True}, {"overwrite": False}])
def test_a_folder_with_stale_files_alone_is_empty(tmp_path, options):
    (tmp_path / ".config.json.4711.tmp").write_text("{")
    (tmp_path / ".log.jsonl.12.tmp").write_text("")
    assert not list(open_run_folder(tmp_path, **options).iterdir())
    assert output_folder(tmp_path) == tmp_path


def test_a_file_of_the_users_is_no_stale_file(tmp_path):
    for name in ("notes.tmp", ".hidden.tmp", "config.json.12.tmp"):
        folder = tmp_path / name.strip(".")
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(UserError, match="holds other files than a run"):
            open_run_folder(folder, overwrite=True)
        assert (folder / name).read_text() == "mine"


def test_stale_files_of_a_run_are_dropped(tmp_path):
    (tmp_path / "config.json").write_text('{"compare": []}')
    (tmp_path / "conv_ae").mkdir()
    for name in (".split.json.99.tmp", "conv_ae/.log.jsonl.99.tmp"):
        (tmp_path / name).write_text("{")
    open_run_folder(tmp_path, overwrite=False, resume=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config.json", "conv_ae"]


def test_the_mark_of_a_run_goes_last(tmp_path, monkeypatch):
    """An interruption while a folder is emptied leaves one that can be emptied."""
    (tmp_path / "config.json").write_text('{"compare": []}')
    for name in ("a.csv", "z.csv"):
        (tmp_path / name).write_text("")
    unlink, seen = Path.unlink, []

    def interrupted(path: Path, **options: bool) -> None:
        seen.append(path.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_run_folder(tmp_path, overwrite=True)
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", seen[1]}
    assert check_run_folder(tmp_path, overwrite=True) == tmp_path
    assert not list(open_run_folder(tmp_path, overwrite=True).iterdir())


def test_a_link_in_a_run_folder_is_dropped_and_not_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.csv").write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text('{"compare": []}')
    (run / "link").symlink_to(tmp_path / "mine")
    assert not list(open_run_folder(run, overwrite=True).iterdir())
    assert (tmp_path / "mine" / "data.csv").read_text() == "mine"


@pytest.fixture(scope="module")
def done(few_wells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_experiment(tiny_config(data=few_wells, out=tmp_path_factory.mktemp("done") / "run"))


@pytest.fixture
def run(done: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(done, tmp_path / "run"))


def test_what_touches_no_weight_may_change(run, few_wells):
    changed = tiny_config(
        data=few_wells,
        out=run,
        resume=True,
        calibration=CalibrationConfig(normal_copies=2, known_copies=1, seed=3),
        threshold=ThresholdConfig("balanced"),
    )
    check_same_run(run, changed)
    with pytest.raises(UserError, match=r"seed is 0, now 1; expected the same value to resume"):
        check_same_run(run, tiny_config(data=few_wells, out=run, seed=1))


LOGS = {
    "no UTF-8": (b"\xff\xfe", "cannot be read"),
    "no JSON": (b"{\n{\n", "cannot be read"),
    "a list": (b"[1]\n[2]\n", "cannot be read"),
    "no epoch": (b'{"a": 1}\n{"a": 2}\n', "cannot be read"),
    "one line": (b'{"epoch": 1, "pixel": 1, "seconds": 1}\n', r"has the epochs \[1\]; expected 1 to 2 to resume"),
    "another order": (b'{"epoch": 2}\n{"epoch": 1}\n', r"has the epochs \[2, 1\]"),
    "nothing": (b"", r"has the epochs \[\]"),
}


@pytest.mark.parametrize("case", LOGS)
def test_a_broken_log_is_found_before_the_work(tmp_path, case):
    content, message = LOGS[case]
    (tmp_path / "log.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        kept_log(tmp_path / "log.jsonl", 2)
    assert "\n" not in str(error.value)


CONTENTS = {"empty": b"", "list": b"[]", "noise": b"\xff{"}
FILES = ("config.json", "provenance.json", "split.json", "training.safetensors", "log.jsonl")


@pytest.mark.parametrize("case", some([f"{kind} {name}" for name in FILES for kind in CONTENTS], 7))
def test_a_broken_file_of_a_run_is_named(sandbox, few_wells, run, case):
    kind, name = case.split()
    content = CONTENTS[kind]
    (run / name).write_bytes(content)
    words = ("--data", few_wells, "--out", run, *TINY, "--compare=[]", "--images.validation_fraction=0.25")
    words += ("--optim.batch_size=8", "--resume")
    sandbox.run("train_mnad", *words, cwd=run.parent).refused(name if name != "config.json" else "run")
    assert (run / name).read_bytes() == content


def test_a_folder_that_vanishes_is_told(few_wells, tmp_path, monkeypatch):
    out, save = tmp_path / "run", loop.save_state

    def vanish(*arguments: object) -> None:
        shutil.rmtree(out)
        save(*arguments)

    monkeypatch.setattr(loop, "save_state", vanish)
    with pytest.raises((UserError, OSError), match=r"log\.jsonl|was emptied or deleted during the run"):
        run_experiment(tiny_config(data=few_wells, out=out))


WRITERS = {
    "train_mnad": TINY,
    "compare_baselines": [*TINY, "--methods=[mean_image]"],
    "visualize_latent": ["--images=40", "--queries=60", "--perplexity=8", "--neighbors=5"],
}


@pytest.mark.parametrize("script", some(WRITERS, 2))
def test_two_commands_in_one_folder(sandbox, few_wells, tmp_path, script):
    out = tmp_path / "run"
    with locked(out):
        line = sandbox.run(script, "--data", few_wells, *WRITERS[script], "--out", out, cwd=tmp_path).refused()
    assert "another run is writing there" in line
    assert not out.exists() or not list(out.iterdir())


def test_a_short_test_video_is_found_before_the_training(sandbox, tmp_path):
    root = write_dataset(tmp_path / "videos")
    write_frames(root / "testing" / "frames" / "04", walk(3, 1, 0))
    labels = np.load(root / "frame_labels_tiny.npy")
    np.save(root / "frame_labels_tiny.npy", np.concatenate([labels, np.zeros((1, 3), dtype=np.int64)], axis=1))
    words = ("--data", root, "--model.variant=pred", *TINY, "--images.height=16", "--images.width=24", "--out=run")
    sandbox.run("train_mnad", *words, cwd=tmp_path).refused("04: 3 frames; expected at least 5")
    assert not (tmp_path / "run").exists()


# Stored runs of a comparison


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    result = dict.fromkeys(("pixels", "images_per_second", "fit_seconds", "parameters", "peak_mb"), 1.0)
    (tmp_path / "result.json").write_text(json.dumps({"method": "pca", "seed": 0, "primary": "psnr", **result}))
    arrays = {"labels": np.array([0, 1]), "test/psnr": np.array([0.1, 0.2]), "validation/psnr": np.array([0.1])}
    np.savez_compressed(tmp_path / "scores.npz", **arrays)
    return tmp_path


def test_a_stored_run_is_read(stored):
    result, arrays = read_run(stored)
    assert result["method"] == "pca" and finished(stored) and set(arrays) == {"labels", "test/psnr", "validation/psnr"}


def arrays(**changes: object) -> dict:
    found = {"labels": np.array([0, 1]), "test/a": np.zeros(2), "validation/a": np.zeros(3)} | changes
    return {key: value for key, value in found.items() if value is not None}


ARRAYS = {
    "no labels": arrays(labels=None),
    "too few scores": arrays(**{"test/a": np.zeros(1)}),
    "NaN": arrays(**{"test/a": np.array([0, np.nan])}),
    "no validation": arrays(**{"validation/a": None}),
    "other scores": arrays(**{"validation/a": None, "validation/b": np.zeros(3)}),
    "two dimensions": arrays(**{"test/a": np.zeros((2, 1))}),
    "texts": arrays(**{"test/a": np.array(["a", "b"])}),
    "objects": arrays(**{"test/a": np.array([None, {}], dtype=object)}),
    "nothing": {},
}
RESULTS = {"empty": b"", "list": b"[]", "noise": b"\xff", "no keys": b"{}", "cut": b'{"method": "pca"'}


@pytest.mark.parametrize("case", ["cut", "text", "gone", "flipped", *ARRAYS])
def test_broken_scores_are_done_again(stored, capsys, case):
    path = stored / "scores.npz"
    data = path.read_bytes()
    if case in ARRAYS:
        np.savez_compressed(path, **ARRAYS[case])
    else:
        flipped = data[:90] + bytes([data[90] ^ 1]) + data[91:]
        path.write_bytes({"cut": data[:-30], "text": b"scores", "gone": b"", "flipped": flipped}[case])
    assert not finished(stored)
    assert "done again: " in capsys.readouterr().out


@pytest.mark.parametrize("case", RESULTS)
def test_a_broken_result_is_done_again(stored, capsys, case):
    (stored / "result.json").write_bytes(RESULTS[case])
    assert not finished(stored)
    assert "result.json: " in capsys.readouterr().out
