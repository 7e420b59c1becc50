"""An archive over Ray: two workers of this machine, one of them killed; the rows are those of the local table."""

import csv
import os
from functools import partial
from pathlib import Path

import cv2
import killing
import numpy as np
import pytest
from helpers import ROOT

from mnad.data.drawing import KINDS, draw_well

pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("ray.data")


def local(script, tmp_path: Path, *words: object) -> list[dict[str, str]]:
    script("score", *words, "--checkpoint=synthetic", "--csv", tmp_path / "v.csv")
    with (tmp_path / "v.csv").open() as file:
        return list(csv.DictReader(file))


def check_same(out: Path, rows: list[dict[str, str]]) -> None:
    """Row by row and column by column; numbers to rounding, since batches are others."""
    found = pq.read_table(out).to_pylist()
    assert [row["path"] for row in found] == [row["path"] for row in rows]
    for row, expected in zip(found, rows, strict=True):
        for name, value in expected.items():
            if value == "":
                assert not row[name]
            elif isinstance(row[name], float):
                assert row[name] == pytest.approx(float(value), abs=1e-6)
            else:
                assert row[name] == value


def check_archive(script, folder: Path, partition: int, tmp_path: Path, monkeypatch, capsys) -> None:
    """Two workers score ``folder`` and one is killed with all rows of a partition in its hands; then again."""
    out, marker = tmp_path / "out", tmp_path / "killed"
    rows = local(script, tmp_path, folder)
    parts = -(-len(rows) // partition)
    monkeypatch.setattr("baselines.register", partial(killing.kill_in_the_middle, marker, os.getpid()))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
    arguments = ["score", folder, "--checkpoint=synthetic", "--ray=local", "--workers=2", "--out", out]
    arguments.append(f"--partition={partition}")
    capsys.readouterr()
    assert script(*arguments) == 1
    assert f"{parts} of {parts} partitions scored" in capsys.readouterr().out
    assert not Path(f"/proc/{marker.read_text()}").exists()
    check_same(out, rows)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert script(*arguments) == 1  # which starts no Ray
    assert f"0 of {parts} partitions scored" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")} == before


@pytest.mark.slow
def test_a_killed_worker_costs_no_row(script, wells, tmp_path, monkeypatch, capsys):
    folder = wells / "test" / "imgs"
    (folder / "broken.jpg").write_bytes(b"no image")
    check_archive(script, folder, 4, tmp_path, monkeypatch, capsys)


@pytest.mark.slow
def test_twenty_thousand_pictures_and_a_killed_worker(script, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "imgs"
    folder.mkdir()
    for number in range(2000):  # each under ten names
        image = draw_well(np.random.default_rng(number), KINDS[number % len(KINDS)])
        encoded = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
        for copy in range(10):
            (folder / f"{copy}{number:04d}.jpg").write_bytes(encoded)
    check_archive(script, folder, 1000, tmp_path, monkeypatch, capsys)


@pytest.mark.slow
def test_what_a_worker_refuses_is_one_line(script, error_line, wells, tmp_path, monkeypatch):
    monkeypatch.setattr("baselines.register", partial(killing.refuse_to_write, os.getpid()))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
    out = tmp_path / "out"
    assert script("score", wells / "test", "--checkpoint=synthetic", "--ray=local", "--workers=1", "--out", out) == 2
    assert error_line() == f"error: {out}: cannot be written (No space left on device); expected a writable path"


@pytest.mark.slow
def test_no_cluster_is_one_line(script, error_line, wells, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    words = (wells / "test", "--checkpoint=synthetic", "--out", tmp_path / "out")
    assert script("score", *words, "--ray=auto") == 2
    assert "ray: no cluster is running here; expected one (ray start --head)" in error_line()


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("auto", ConnectionError("no instance"), "no cluster is running here; expected one (ray start --head)"),
        ("far:6379", ConnectionError("timed out"), "ray: far:6379 does not answer (timed out); expected HOST:PORT"),
        ("no where", ValueError("bad address"), "ray: no where: bad address; expected auto, local or HOST:PORT"),
    ],
)
def test_a_cluster_that_cannot_be_had_is_one_line(
    script, error_line, wells, tmp_path, monkeypatch, address, error, message
):
    def refuse(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("ray.init", refuse)
    words = (wells / "test", "--checkpoint=synthetic", "--out", tmp_path / "out")
    assert script("score", *words, f"--ray={address}") == 2
    assert message in error_line()


def test_what_a_worker_refuses_is_told_without_what_ray_says_around_it():
    from ray.exceptions import RayTaskError

    from mnad.line.cluster import users_error
    from mnad.run import UserError

    refused = UserError("part-000001.parquet: cannot be written Failed to apply UDF transform after 1/1 attempts")
    found = users_error(RayTaskError("map", "traceback", refused).as_instanceof_cause())
    assert str(found) == "part-000001.parquet: cannot be written"
    assert users_error(RayTaskError("map", "traceback", KeyError("ours"))) is None
