"""scripts/benchmark.py end to end on tiny sizes: what is stored, and what is refused."""

import json

import pytest

TRAIN = ["--train.model.width=2", "--train.model.items=3", "--train.model.item_dim=4", "--train.height=16"]
TRAIN += ["--train.width=16", "--train.rounds=2", "--train.steps=1", "--train.batch_size=2"]
SCORE = ["--score.images=20", "--score.rounds=1"]
GROWTH = ["--growth.images=[20,40]", "--growth.sizes=[1,2]", "--growth.widths=[2,4]", "--growth.items=[2,4]"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("mnad.benchmark.measure.PEAK_SIZE", 64)
    monkeypatch.setattr("mnad.benchmark.measure.PEAK_SECONDS", 0.0)
    monkeypatch.setattr("mnad.benchmark.scoring.DRAWN", 8)
    monkeypatch.setattr("mnad.benchmark.scoring.BATCH", 8)
    monkeypatch.setattr("mnad.benchmark.growth.REPEATS", 1)


def test_all_parts(script, tmp_path, capsys):
    out = tmp_path / "speed.json"
    assert script("benchmark", "all", *TRAIN, *SCORE, *GROWTH, "--threads=1", "--json", out) == 0
    found = json.loads(out.read_text())
    assert found["benchmark"] == ["train", "score", "growth"] and found["threads"] == 1
    train, score, growth = found["train"], found["score"], found["growth"]
    assert list(train["rows"]) == ["straightforward float32", "ours float32", "ours bfloat16"]
    for row in train["rows"].values():
        speed = row["images_per_second"]
        assert 0 < speed["low"] <= speed["median"] <= speed["high"]
        assert row["gflops"] == pytest.approx(row["gflop_per_image"] * speed["median"])
        peak = train["matmul_gflops"]["bfloat16" if row is train["rows"]["ours bfloat16"] else "float32"]
        assert row["share_of_peak"] == pytest.approx(row["gflops"] / peak)
    assert train["rows"]["straightforward float32"]["times_straightforward"]["median"] == 1
    assert score["rows"]["float32"]["other_verdicts"] == 0 and score["rows"]["float32"]["photographs"] == 8
    assert set(score["rows"]) == {
        f"{name}{row}" for name in ("float32", "bfloat16") for row in ("", " beside a busy process")
    }
    assert growth["pixels"]["x"] == [1536, 6144] and growth["threads"]["x"] == [1, 2]
    assert all(value > 0 for row in growth.values() for value in row["y"])
    text = capsys.readouterr().out
    assert "x straightforward" in text and "ms of an image, one thread" in text and "exponent" in text


def test_real_photographs_are_trained_on_and_scored(script, tmp_path, tiny_wells):
    out = tmp_path / "speed.json"
    options = [*TRAIN, *SCORE, "--train.model.variant=recon", "--threads=1"]
    options += ["--train.precisions=[float32]", "--score.precisions=[float32]"]
    assert script("benchmark", "train", "score", "--data", tiny_wells, *options, "--json", out) == 0
    found = json.loads(out.read_text())
    assert found["train"]["start_seconds"] > 0 and found["score"]["rows"]["float32"]["photographs"] == 84


def test_nothing_else_is_replaced(script, tmp_path, error_line):
    mine = tmp_path / "mine.json"
    mine.write_text('{"precious": 1}')
    assert script("benchmark", "train", *TRAIN, "--json", mine) == 2
    assert "mine.json" in error_line() and mine.read_text() == '{"precious": 1}'


def test_unknown_part(script, error_line):
    assert script("benchmark", "speed") == 2
    assert error_line() == "error: 'speed': expected some of train, score, growth, or all"
