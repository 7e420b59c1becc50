"""A watched folder: each image once over kills and restarts, files still being written, alerts that block nothing."""

import csv
import errno
import http.server
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from helpers import ROOT

from mnad.line.alerts import Teller, command_sender, webhook_sender
from mnad.line.journal import open_journal
from mnad.line.watch import Pending, Watcher, has_end
from mnad.run import UserError
from mnad.run.verdict import Verdict

pytest.importorskip("watchfiles", reason="watchfiles is not installed")
JOURNALS = ["j.csv", "j.sqlite"]
TERMS = ["wall_hue", "glitter"]


def paths_in(path: Path) -> list[str]:
    if path.suffix == ".csv":
        with path.open() as file:
            return [row["path"] for row in csv.DictReader(file)]
    with sqlite3.connect(path) as base:
        return [row[0] for row in base.execute("SELECT path FROM verdicts ORDER BY number")]


def bad(name: str, score: float = 2.0) -> Verdict:
    return Verdict(name, score, 1.0, {"wall_hue": 0.5, "glitter": score})


def wait_for(condition, seconds: float = 20):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


@pytest.fixture
def watching():
    """``watching(watcher)`` runs it in a thread until the test ends."""
    started = []

    def start(watcher: Watcher) -> Watcher:
        thread = threading.Thread(target=watcher.run)
        thread.start()
        started.append((watcher, thread))
        return watcher

    yield start
    for watcher, thread in started:
        watcher.stop.set()
        thread.join(20)
        assert not thread.is_alive()


LAUNCHER = """
import os, random, shutil, signal, sys, time
from pathlib import Path
from mnad.detector import Detector
from mnad.line.journal import open_journal
from mnad.line.watch import Watcher
import watchfiles, torch
folder, journal, source = map(Path, sys.argv[1:])
torch.set_num_threads(1)
detector = Detector.load("synthetic")
terms = detector.scores[detector.primary].names
images = sorted(source.iterdir())
size = lambda: sum(p.stat().st_size for p in journal.parent.glob(journal.name + "*"))
rng = random.Random(0)
copied = 0
def copy(count):
    global copied
    for _ in range(count):
        shutil.copy(images[copied % len(images)], folder / f"{copied}.jpg")
        copied += 1
for moment in range(21):
    child = os.fork()
    if child == 0:
        opened = open_journal(journal, terms)
        watcher = Watcher(folder, detector, opened, settle=0.02, workers=1)
        watcher.pending.most = 2
        watcher.run()
        os._exit(0)
    before = size()
    copy(8)
    if moment < 20:
        while size() == before and rng.random() > 0.002:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.05)
        os.kill(child, signal.SIGKILL)
    else:
        end = time.monotonic() + 60
        while time.monotonic() < end and (size() != before or time.monotonic() < end - 58):
            before = size()
            time.sleep(0.5)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(copied)
"""


@pytest.mark.parametrize("name", [pytest.param(JOURNALS[0], marks=pytest.mark.slow), *JOURNALS[1:]])
def test_killed_at_twenty_moments_nothing_is_lost_and_nothing_twice(tiny_wells, tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()
    arguments = [folder, tmp_path / name, tiny_wells / "train"]
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *map(str, arguments)], capture_output=True, text=True, timeout=180, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    found = paths_in(tmp_path / name)
    assert sorted(found) == sorted(map(str, folder.iterdir())) and len(found) == int(done.stdout) == 168


def test_torn_last_row_is_cut_off(tmp_path):
    path = tmp_path / "j.csv"
    journal = open_journal(path, TERMS)
    journal.add([bad('a,\n"x".jpg'), bad("b.jpg")])
    journal.close()
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:cut])
        again = open_journal(path, TERMS)
        again.add([bad('a,\n"x".jpg'), bad("b.jpg")])
        again.close()
        assert path.read_bytes() == whole, cut


@pytest.mark.parametrize("name", JOURNALS)
def test_journal_takes_each_path_once_and_one_process_at_a_time(tmp_path, name):
    journal = open_journal(tmp_path / name, TERMS)
    assert len(journal.add([bad("a"), bad("a"), bad("b\udcff")])) == 2
    assert journal.has("a") and journal.has("b\udcff") and not journal.has("c")
    with pytest.raises(UserError, match="another process writes to it"):
        open_journal(tmp_path / name, TERMS)
    journal.close()
    journal = open_journal(tmp_path / name, TERMS)
    assert journal.add([bad("a"), bad("c")]) == [bad("c")]
    journal.close()
    assert paths_in(tmp_path / name) == ["a", "b\\xff", "c"]
    with pytest.raises(UserError, match="a score with other terms"):
        open_journal(tmp_path / name, ["psnr"])


def test_foreign_files_are_no_journals(tmp_path):
    for name, message in (("a.csv", "is no journal"), ("a.sqlite", "cannot be written"), ("a.txt", "ending in .csv")):
        (tmp_path / name).write_text("mine, mine, mine and more of it, much more than a header would have" * 3)
        with pytest.raises(UserError, match=message):
            open_journal(tmp_path / name, TERMS)
        assert (tmp_path / name).read_text().startswith("mine")


def test_files_still_being_written_wait(tiny_wells, tmp_path):
    image = next((tiny_wells / "train").iterdir()).read_bytes()
    path = tmp_path / "a.jpg"
    pending = Pending(settle=1.0, patience=30)
    path.write_bytes(image[:500])
    pending.add(path)
    assert [pending.ready(t) for t in (0.0, 0.5, 1.5, 20)] == [[]] * 4  # unchanged, but without its end
    path.write_bytes(image)
    assert [pending.ready(t) for t in (21, 21.5)] == [[], []]
    assert pending.ready(22.1) == [path]
    path.write_bytes(image[:500])
    assert pending.ready(23) == [] and pending.ready(54) == [path]  # broken for good: a row says so
    path.unlink()
    assert pending.ready(60) == [] and pending.files == {}
    (tmp_path / "b.bmp").write_bytes(b"BM")
    assert has_end(tmp_path / "b.bmp")


def test_images_there_and_images_that_appear_have_a_row(tiny_wells, tmp_path, detector, watching):
    images = sorted((tiny_wells / "test" / "imgs").iterdir())
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(images[0], folder / "there.jpg")
    journal = open_journal(tmp_path / "j.csv", detector.scores[detector.primary].names)
    watching(Watcher(folder, detector, journal, settle=0.05))
    wait_for(lambda: journal.has(str(folder / "there.jpg")))
    shutil.copy(images[1], folder / "deep" / "new.jpg.part")
    (folder / "deep" / "new.jpg.part").rename(folder / "deep" / "new.jpg")
    (folder / "bad.png").write_bytes(b"x" * 9 + b"IEND")
    with (folder / "slow.jpg").open("wb") as file:
        for start in range(0, images[2].stat().st_size, 400):
            file.write(images[2].read_bytes()[start : start + 400])
            file.flush()
            time.sleep(0.03)
    names = ("there.jpg", "deep/new.jpg", "bad.png", "slow.jpg")
    wait_for(lambda: all(journal.has(str(folder / name)) for name in names))
    with (tmp_path / "j.csv").open() as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert set(rows) == {str(folder / name) for name in names}
    scores = [verdict.score for verdict in detector.predict(images[:3])]
    found = [float(rows[str(folder / name)]["score"]) for name in ("there.jpg", "deep/new.jpg", "slow.jpg")]
    assert found == pytest.approx(scores, abs=1e-4)
    assert "is not a readable image" in rows[str(folder / "bad.png")]["error"]


def test_full_disk_is_one_line_and_nothing_is_lost(tiny_wells, tmp_path, detector, watching, capsys, monkeypatch):
    full = threading.Event()
    full.set()
    real = os.fsync

    tried = threading.Event()

    def fsync(descriptor: int) -> None:
        if full.is_set():
            tried.set()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    journal = open_journal(tmp_path / "j.csv", detector.scores[detector.primary].names)
    header = (tmp_path / "j.csv").read_bytes()
    monkeypatch.setattr(os, "fsync", fsync)
    folder = tmp_path / "in"
    shutil.copytree(tiny_wells / "proliv", folder)
    watching(Watcher(folder, detector, journal, settle=0.05))
    assert tried.wait(60)
    time.sleep(1)
    assert (tmp_path / "j.csv").read_bytes() == header
    full.clear()
    wait_for(lambda: len(paths_in(tmp_path / "j.csv")) == len(list(folder.iterdir())))
    lines = [line for line in capsys.readouterr().err.splitlines() if "j.csv" in line]
    assert len(lines) == 1 and "No space left on device" in lines[0]


class Hook(http.server.BaseHTTPRequestHandler):
    """Refuses while ``broken``, keeps what it gets."""

    broken = False
    got: list[dict]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.server.broken:
            self.server.got.append(body)
        self.send_response(503 if self.server.broken else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.broken, server.got = True, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", JOURNALS)
def test_broken_webhook_blocks_nothing_and_is_told_after_a_restart(tmp_path, name, hook, capsys):
    url = f"http://127.0.0.1:{hook.server_port}/secret"
    journal = open_journal(tmp_path / name, TERMS)
    journal.add([bad("before.jpg")])  # nobody asked to be told of it
    teller = Teller(journal, "webhook", url, webhook_sender(url), first_wait=0.05)
    started = time.monotonic()
    journal.add([bad("one.jpg"), bad("fine.jpg", 0.1), bad("two.jpg", 3.0)])
    teller.notice()
    assert time.monotonic() - started < 10
    time.sleep(0.4)
    teller.close(0.1)
    journal.close()
    assert hook.got == []
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("webhook: not delivered (HTTP Error 503")
    hook.broken = False
    journal = open_journal(tmp_path / name, TERMS)
    teller = Teller(journal, "webhook", url, webhook_sender(url), first_wait=0.05)
    wait_for(lambda: len(hook.got) == 2)
    teller.close()
    journal.close()
    assert [row["path"] for row in hook.got] == ["one.jpg", "two.jpg"] and float(hook.got[1]["score"]) == 3.0
    assert all(b"secret" not in file.read_bytes() for file in tmp_path.iterdir())
    journal = open_journal(tmp_path / name, TERMS)
    Teller(journal, "webhook", url, webhook_sender(url)).close()
    journal.close()
    assert len(hook.got) == 2  # told once


def test_command_gets_path_and_score_and_no_shell_sees_them(tmp_path):
    told, program = tmp_path / "told", tmp_path / "tell.py"
    program.write_text(
        "import json, os, sys\n"
        "found = [sys.argv[1:], os.environ['MNAD_PATH'], os.environ['MNAD_SCORE']]\n"
        f"open({str(told)!r}, 'w').write(json.dumps(found))\n"
    )
    nasty = "/in/$(touch owned); `x` '\" .jpg"
    command_sender(f"{sys.executable} {program} --fixed")({k: str(v) for k, v in bad(nasty).row().items()})
    assert json.loads(told.read_text()) == [["--fixed", nasty, "2.0"], nasty, "2.0"]
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--watch", "nowhere", "--journal", "j.csv"], "nowhere: missing"),
        (["--watch", "."], "expected both"),
        (["--watch", ".", "--journal", "j.csv", "x.jpg"], "paths: given with watch"),
        (["x.jpg", "--webhook", "http://x"], "webhook: given without watch"),
        (["--watch", ".", "--journal", "j.csv", "--webhook", "ftp://x"], "begins with http://"),
        (["--watch", ".", "--journal", "j.csv", "--command", "a 'b"], "No closing quotation"),
        (["--watch", ".", "--journal", "j.txt"], "ending in .csv or .sqlite"),
    ],
)
def test_mistakes_are_one_line(script, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert script("score", "--checkpoint=synthetic", *arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and message in line
    assert list(tmp_path.iterdir()) == []


def test_command_line_stops_in_order(tiny_wells, tmp_path):
    arguments = ["--watch", tiny_wells / "proliv", "--journal", tmp_path / "j.sqlite", "--checkpoint=synthetic"]
    arguments += ["--settle=0.05", "--command", "true"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "score.py"), *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    lines = [process.stdout.readline() for _ in range(9)]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()
    assert lines[0].startswith("watching ") and len(paths_in(tmp_path / "j.sqlite")) == 8
