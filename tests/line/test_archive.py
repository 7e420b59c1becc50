"""An archive in partitions, without Ray: the rows of the local table, what is left, what is refused."""

import csv
import json
import math
import os
from pathlib import Path

import cv2
import pytest

from mnad.data.paths import PassedOver
from mnad.detector import Detector
from mnad.line.boxes import Box
from mnad.line.cuts import Wanted
from mnad.line.scoring import score
from mnad.line.sources import shots
from mnad.line.summary import Summary
from mnad.run import UserError

pq = pytest.importorskip("pyarrow.parquet")
archive = pytest.importorskip("mnad.line.archive")
archive_record = pytest.importorskip("mnad.line.archive_record")

SETTINGS = {"checkpoint": "of the test"}


@pytest.fixture
def folder(wells: Path) -> Path:
    """28 photographs, one file that is none, and one of another ending."""
    found = wells / "test" / "imgs"
    (found / "broken.jpg").write_bytes(b"no image")
    (found / "notes.txt").write_text("x")
    return found


def opened(out: Path, *words: object, partition: int = 8, **settings: object) -> "archive.Archive":
    files = archive_record.listed(map(str, words), PassedOver())
    return archive_record.open_archive(out, files, SETTINGS | settings, partition)


def scored(out: Path, detector: Detector, *words: object, boxes: tuple[Box, ...] = ()) -> "archive.Archive":
    found = opened(out, *words)
    for part in found.left():
        found.score(detector, part, boxes)
    return found


def check_rows(rows: list[dict], detector: Detector, words: list[str], boxes: tuple[Box, ...] = ()) -> Summary:
    """``rows`` are those of the local table, in its order; returns its summary."""
    local, summary = list(score(detector, shots(words), Wanted(boxes, workers=0))), Summary(0, 5)
    assert len(rows) == len(local)
    for row, one in zip(rows, local, strict=True):
        summary.add(one.verdict)
        for name, value in one.verdict.row().items():
            if name.startswith("gain_"):
                continue
            if isinstance(value, float):
                assert row[name] == pytest.approx(value, abs=1e-6), name
            else:
                missing = value == "" and name != "error"
                assert row[name] is None if missing else row[name] == value, name
    return summary


def test_partitions_hold_the_rows_of_the_local_table(tmp_path, detector, folder):
    found = scored(tmp_path / "out", detector, folder)
    assert (found.files, found.parts, found.left()) == (29, 4, [])
    table = pq.read_table(tmp_path / "out")  # as any reader does
    assert [pq.read_metadata(found.table(part)).num_rows for part in range(4)] == [8, 8, 8, 5]
    expected = check_rows(table.to_pylist(), detector, [str(folder)])
    assert table.schema.names[:6] == ["path", "verdict", "score", "threshold", "margin", "error"]
    summary, _ = found.summary(5)
    assert summary.counts == expected.counts and summary.counts["error"] == 1
    assert (summary.status, summary.lost) == (expected.status, expected.lost)
    assert [(v.path, v.score) for v, _ in summary.table.sorted()] == [
        (v.path, pytest.approx(v.score, abs=1e-6)) for v, _ in expected.table.sorted()
    ]
    assert [v.path for v in summary.errors] == [str(folder / "broken.jpg")]


def test_wells_and_films_are_rows_too(tmp_path, detector, folder):
    film = tmp_path / "line.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"FFV1"), 10, (48, 32))
    for path in sorted(folder.glob("*.jpg"))[:3]:
        writer.write(cv2.resize(cv2.imread(str(path)), (48, 32)))
    writer.release()
    boxes = (Box("left", 0, 0, 20, 20), Box("far", 900, 900, 9, 9))
    scored(tmp_path / "out", detector, folder, film, boxes=boxes)
    rows = pq.read_table(tmp_path / "out").to_pylist()
    assert rows[-1]["path"] == f"{film}:2#far" and "box 'far' ends at" in rows[-1]["error"]
    check_rows(rows, detector, [str(folder), str(film)], boxes)


def test_only_what_is_left_is_scored(tmp_path, detector, folder, monkeypatch):
    whole = scored(tmp_path / "out", detector, folder)
    before = pq.read_table(tmp_path / "out").to_pylist()
    times = {part: whole.table(part).stat().st_mtime_ns for part in range(4)}
    whole.table(2).unlink()
    again = opened(tmp_path / "out", folder)
    assert again == whole and again.left() == [2]
    with pytest.raises(UserError, match=r"part-000002\.parquet: missing; expected finished partitions to stay"):
        again.summary(5)
    again.score(detector, 2)
    assert pq.read_table(tmp_path / "out").to_pylist() == before
    assert [part for part in times if again.table(part).stat().st_mtime_ns != times[part]] == [2]
    monkeypatch.setattr(archive, "score", None)
    again.score(detector, 1)  # a worker that died after it had finished: nothing to do


def test_a_partition_that_fails_is_not_there(tmp_path, detector, folder, monkeypatch):
    found = opened(tmp_path / "out", folder)

    def breaks_off(*arguments: object) -> object:
        yield from list(score(*arguments))[:3]
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "score", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        found.score(detector, 0)
    assert found.left() == [0, 1, 2, 3] and not [p for p in (tmp_path / "out").iterdir() if p.name[0] != "_"]


def test_a_partition_that_kills_every_worker_ends(tmp_path, detector, folder, monkeypatch):
    found = opened(tmp_path / "out", folder)
    with monkeypatch.context() as patched:
        patched.setattr(archive, "score", None)  # whoever calls it dies
        for _ in range(archive.MOST):
            with pytest.raises(TypeError):
                found.score(detector, 3)
        with pytest.raises(UserError, match=r"part-000003\.parquet: 5 workers have died at these files"):
            found.score(detector, 3)
    opened(tmp_path / "out", folder).score(detector, 3)  # the next command tries again
    assert found.left() == [0, 1, 2] and not list((tmp_path / "out" / archive.TRIES).iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint": "another"}, "out: was begun with the checkpoint of the test, now another; expected the same"),
        ({"partition": 9}, "out: was begun with the partition 8, now 9; expected the same, or another --out"),
    ],
)
def test_changed_settings_are_refused_by_name(tmp_path, folder, change, message):
    opened(tmp_path / "out", folder)
    with pytest.raises(UserError, match=message):
        opened(tmp_path / "out", folder, **change)


def test_a_changed_list_is_refused_by_its_first_difference(tmp_path, folder):
    files = sorted(folder.glob("*.jpg"), key=lambda path: path.name)
    opened(tmp_path / "out", *files)
    for words, message in (
        ([*files[:9], folder / "new.jpg", *files[10:]], f"file 10 of its 29 was {files[9]}, is now {folder}/new.jpg"),
        ([*files, "more.jpg"], "file 30 of its 29 was none, is now more.jpg"),
        (files[:-1], "was begun with 29 files, now 28"),
        (files[:-6], "was begun with 29 files, now 23"),
    ):
        with pytest.raises(UserError, match="expected the same list, or another --out") as said:
            opened(tmp_path / "out", *words)
        assert message in str(said.value)
    opened(tmp_path / "out", *files)


def test_lists_that_were_never_finished_are_made_anew(tmp_path, detector, folder):
    whole = opened(tmp_path / "out", folder)
    (tmp_path / "out" / archive_record.RECORD).unlink()
    assert opened(tmp_path / "out", folder) == whole


def test_what_is_refused(tmp_path, folder):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    (tmp_path / "none").mkdir()
    for arguments, message in (
        ((tmp_path / "full", folder), r"full: holds other files \(thesis.txt\); expected a new folder"),
        ((folder / "broken.jpg", folder), "broken.jpg: is a file; expected a folder"),
        ((tmp_path / "out", "rtsp://camera"), "rtsp://camera: is a camera or a stream; expected files"),
        ((tmp_path / "out2", tmp_path / "none"), "PATH: holds no file to score"),
    ):
        with pytest.raises(UserError, match=message):
            opened(*arguments)


def test_a_damaged_partition_and_one_of_another_archive_are_named(tmp_path, detector, folder):
    found, other = scored(tmp_path / "out", detector, folder), scored(tmp_path / "other", detector, folder / "..")
    found.table(1).write_bytes(other.table(1).read_bytes())
    with pytest.raises(UserError, match=r"part-000001.parquet: belongs to another archive"):
        found.left()
    found.table(1).write_bytes(found.table(0).read_bytes()[:-9])
    with pytest.raises(UserError, match=r"part-000001.parquet: is damaged or no partition of an archive"):
        found.left()


def test_a_machine_without_the_files_is_no_row_of_errors(tmp_path, detector, folder):
    found = opened(tmp_path / "out", folder)
    folder.rename(tmp_path / "not mounted")
    with pytest.raises(UserError, match="partition 0; expected folders that every machine of the cluster sees"):
        found.score(detector, 0)
    missing = scored(tmp_path / "missing", detector, "a.jpg", "b.jpg")  # which nobody has ever seen
    assert missing.summary(5)[0].counts == {"error": 2}


def test_names_that_are_no_utf8(tmp_path, detector, folder):
    name = os.fsdecode(bytes(folder) + b"/caf\xe9.jpg")
    Path(name).write_bytes(sorted(folder.glob("*.jpg"))[0].read_bytes())
    scored(tmp_path / "out", detector, name)
    (row,) = pq.read_table(tmp_path / "out").to_pylist()
    assert row["path"].endswith("caf\\xe9.jpg") and row["error"] == "" and math.isfinite(row["score"])


def test_options(script, error_line, tmp_path, folder):
    for arguments, message in (
        (["--ray=local"], "ray, out: one without the other"),
        (["--ray=local", "--out=o", "--csv=v.csv"], "csv: given with ray; expected --out alone"),
        (["--ray=local", "--out=o", "--workers=0"], "workers: expected 1 or more with ray"),
        (["--ray=local", "--out=o", "--partition=0"], "partition: expected 1 file or more"),
    ):
        assert script("score", folder, *arguments) == 2
        assert message in error_line()


def test_the_record_tells_where_the_verdicts_come_from(tmp_path, detector, folder):
    found = scored(tmp_path / "out", detector, folder)
    record = json.loads((tmp_path / "out" / archive_record.RECORD).read_text())
    assert record["digest"] == found.digest and record["settings"] == {"checkpoint": "of the test", "partition": 8}
    assert {"date", "command", "git_revision", "packages"} <= set(record)


def test_it_is_the_table_of_the_command(script, tmp_path, detector, folder):
    script("score", folder, "--checkpoint=synthetic", "--csv", tmp_path / "v.csv")
    scored(tmp_path / "out", detector, folder)
    with (tmp_path / "v.csv").open() as file:
        local = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "out")
    assert table.schema.names == list(local[0])
    assert [(row["path"], row["verdict"] or "") for row in table.to_pylist()] == [
        (row["path"], row["verdict"]) for row in local
    ]
