"""The scripts end to end, on tiny avatars."""

import json
import os
import runpy
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers import ROOT

from bayes import PixelGenerator, StyleGenerator, load_avatars, scientific
from figures.bayes_examples import save_examples
from figures.bayes_samples import TEXTS
from styles import styles, styles_count


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a script in this process; gives its exit code, what it printed and its errors."""

    def run_script(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        return subprocess.CompletedProcess(script, code, *capsys.readouterr())

    return run_script


def fails(result, *words):
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four avatars of 8 x 6 with a table of attributes."""
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(256, size=(8, 6, 4), dtype=np.uint8))
        rows.append({"file": f"{number}.png"} | {c: values[number % 3] for c, values in styles.items()})
    pd.DataFrame(rows).to_csv(folder / "avatars.csv", index=False)
    return folder


def test_styles_as_text_and_json(run, tmp_path):
    result = run("generate_styles.py", "--draw", "false", "--n", 3, "--seed", 7, "--out", tmp_path / "text")
    assert result.returncode == 0, result.stderr
    expected = StyleGenerator().fit(styles, styles_count).sample(3, 7)
    for _, row in expected.iterrows():
        assert f"P(style) = {scientific(row['log_probability'])}" in result.stdout
        assert f"прическа: {row['прическа']}, цвет волос: {row['цвет волос']}" in result.stdout
    saved = pd.read_csv(tmp_path / "text" / "styles.csv")
    pd.testing.assert_frame_equal(saved, expected, check_dtype=False)

    arguments = [
        "--draw=false",
        "--n",
        2,
        "--json",
        "--given.аксесуар",
        "круглые очки",
        "--out",
        tmp_path / "json",
    ]
    result = run("generate_styles.py", *arguments)
    assert result.returncode == 0, result.stderr
    expected = StyleGenerator().fit(styles, styles_count).sample(2, 0, {"аксесуар": "круглые очки"})
    assert json.loads(result.stdout) == expected.to_dict("records")


def test_styles_without_arguments(run, tmp_path, monkeypatch):
    pytest.importorskip("resvg_py", reason="needs the extra avatars")
    pytest.importorskip("dicebear", reason="needs the extra avatars")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "scripts" / "generate_styles.py")]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("P(style) = ") == 5
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("styles-")
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"style_{number}.png" for number in range(1, 6)),
        "styles.csv",
    ]
    assert cv2.imread(str(folder / "style_5.png"), cv2.IMREAD_UNCHANGED).shape == (560, 528, 4)
    monkeypatch.chdir(tmp_path)
    fails(run("generate_styles.py", "--out", folder), f"{folder}: already there", "--overwrite")
    assert run("generate_styles.py", "--out", folder, "--overwrite").returncode == 0


def test_styles_errors(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fails(run("generate_styles.py", "--given.шляпа", "нет"), "'шляпа' is no category")
    fails(run("generate_styles.py", "--n", "0"), "n: expected a whole number of at least 1, got 0")
    fails(run("generate_styles.py", "--n", "many"), '"n"', "many")
    fails(run("generate_styles.py", "--count", "3"), "--count")
    assert not (tmp_path / "runs").exists()


def test_own_avatars_need_only_what_is_used(run, tmp_path, folder):
    """No table where no attribute is used; otherwise the categories that are named, and no others."""
    own = tmp_path / "own"
    own.mkdir()
    for path in folder.glob("*.png"):
        (own / path.name).write_bytes(path.read_bytes())
    for share in ("channel", "pixel", "block"):
        done = run("generate_avatars.py", "--avatars", own, "--share", share, "--n", 1, "--out", tmp_path / share)
        assert done.returncode == 0, done.stderr
    fails(run("generate_avatars.py", "--avatars", own, "--by", "одежда"), "avatars.csv: missing", "file", "одежда")
    pd.read_csv(folder / "avatars.csv")[["file", "одежда"]].to_csv(own / "avatars.csv", index=False)
    done = run("generate_avatars.py", "--avatars", own, "--by", "одежда", "--n", 1, "--out", tmp_path / "by")
    assert done.returncode == 0, done.stderr
    fails(run("generate_avatars.py", "--avatars", own, "--share", "part"), "avatars.csv: no column", "прическа")


def test_avatars_as_json(run, tmp_path, folder):
    result = run("generate_avatars.py", "--avatars", folder, "--n", 3, "--seed", 2, "--json", "--out", tmp_path / "a")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    images, log_probabilities = PixelGenerator(random_state=2).fit(load_avatars(folder)[0]).sample(3)
    for row, image, log_probability in zip(rows, images, log_probabilities, strict=True):
        assert row["log_probability"] == log_probability
        assert row["probability"] == scientific(log_probability)
        assert (cv2.imread(row["picture"])[..., ::-1] == image).all()


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (["--share", "part"], (8, 6, 3)),
        (["--share", "pixel", "--alpha", "0.5"], (8, 6, 3)),
        (["--size", "3x4", "--share", "block", "--block", "2"], (4 * 176, 3 * 176, 3)),
        (["--by", "аксесуар", "--given.одежда", "худи"], (8, 6, 3)),
    ],
)
def test_avatars_ways_of_sampling(run, tmp_path, folder, arguments, shape):
    result = run("generate_avatars.py", "--avatars", folder, "--n", 1, "--out", tmp_path / "a", *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{tmp_path}/a/avatar_1.png: P = ")
    assert cv2.imread(str(tmp_path / "a" / "avatar_1.png")).shape == shape
    saved = pd.read_csv(tmp_path / "a" / "probabilities.csv", dtype={"probability": str})
    assert saved["probability"][0] == scientific(saved["log_probability"][0])
    assert f"P = {saved['probability'][0]}, ln P = {saved['log_probability'][0]:.4f}" in result.stdout


def test_avatars_errors(run, tmp_path, folder):
    def avatars(*arguments):
        return run("generate_avatars.py", "--avatars", folder, "--out", tmp_path / "a", *arguments)

    fails(avatars("--given.шляпа", "нет"), "'шляпа' is no category")
    fails(avatars("--given.прическа", "короткая прямые"), "no avatar of", "короткая прямые")
    fails(avatars("--by", "шляпа"), "by: 'шляпа' is no category")
    fails(avatars("--size", "big"), "size: expected WIDTHxHEIGHT in pixels such as 66x70, got 'big'")
    fails(avatars("--alpha", "-1"), "alpha: expected a finite number of at least 0, got -1.0")
    fails(avatars("--share", "nothing"), '"share"', "nothing")
    assert not (tmp_path / "a").exists()
    fails(run("generate_avatars.py", "--avatars", tmp_path), "no *.png")


def test_draw_avatars_again(run, tmp_path):
    pytest.importorskip("resvg_py", reason="needs the extra avatars")
    pytest.importorskip("dicebear", reason="needs the extra avatars")
    result = run("draw_avatars.py", "--out", tmp_path / "avatars")
    assert result.returncode == 0, result.stderr
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "avatars").iterdir()}
    kept = {path.name: path.read_bytes() for path in (ROOT / "avatars").iterdir() if path.suffix != ".md"}
    assert len(drawn) == 51
    assert drawn == kept


def test_figures(tmp_path, folder):
    pytest.importorskip("resvg_py", reason="needs the extra avatars")
    pytest.importorskip("dicebear", reason="needs the extra avatars")
    names = save_examples(tmp_path / "figures", str(folder), n=2)
    assert names == ["styles", "avatars", "distributions", "entropy"] == list(TEXTS)
    for name in names:
        figure = cv2.imread(str(tmp_path / "figures" / f"{name}.png"))
        assert figure.shape[1] > 500 and figure.std() > 5, name


@pytest.mark.parametrize("script", ["generate_styles", "generate_avatars", "draw_avatars"])
def test_negative_seeds(run, tmp_path, script):
    fails(run(f"{script}.py", "--seed=-1", "--out", tmp_path / "out"), '"seed"', "-1")
    assert not (tmp_path / "out").exists()


def test_pictures_without_width(run, tmp_path):
    fails(run("draw_avatars.py", "--width=0", "--out", tmp_path / "out"), '"width"', "0")
    assert not (tmp_path / "out").exists()
