"""Downloads that stall, break off or lead elsewhere: given up in time, what came is kept, and the next call goes on."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox import some_quick
from test_archives import PHOTOGRAPHS, WHOLE, zipped

pytest.importorskip("gdown", reason="needs the extra data")
CONTENT = zipped(**{"wells/filler": bytes(range(256)) * 8000})
FIRST = 600_000  # bytes that a bad connection lets through


class Server(http.server.BaseHTTPRequestHandler):
    """Serves ``CONTENT``: /whole at once; /stalls and /breaks a part at the first request, the rest on demand."""

    asked: dict[str, int]
    release: threading.Event

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        count = self.asked[self.path] = self.asked.get(self.path, 0) + 1
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/page":
            self.answer(200, b"<html>sign in</html>")
            return
        if self.path == "/silent":
            self.release.wait(30)
            return
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        bad = self.path in ("/stalls", "/breaks") and (not wanted or count < 2)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + FIRST] if bad else CONTENT[start:])
        self.wfile.flush()
        if bad and self.path == "/stalls":
            self.release.wait(30)

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def served() -> Iterator[str]:
    handler = type("Handler", (Server,), {"asked": {}, "release": threading.Event()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    handler.release.set()
    server.shutdown()


def get(sandbox, folder: Path, link: str, *words: object):
    return sandbox.run("get_data", "--source", link, "--out", "data", *words, cwd=folder)


def test_whole(sandbox, tmp_path, served):
    get(sandbox, tmp_path, f"{served}/whole").done(WHOLE)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert (tmp_path / "data/train/0.png").read_bytes() == PHOTOGRAPHS["wells/train/0.png"]


@pytest.mark.parametrize("path", ["missing", "page"])
def test_leads_to_no_archive(sandbox, tmp_path, served, path):
    get(sandbox, tmp_path, f"{served}/{path}").refused(path)
    assert not list(tmp_path.iterdir())


def test_a_server_that_says_nothing(sandbox, tmp_path, served):
    get(sandbox, tmp_path, f"{served}/silent", "--timeout", 0.2).refused("Read timed out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["stalls", "breaks"])
def test_goes_on_where_it_stopped(sandbox, tmp_path, served, path):
    """By itself: the second request is for the rest alone."""
    get(sandbox, tmp_path, f"{served}/{path}", "--timeout", 0.5).done(WHOLE)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_what_came_is_kept_for_the_next_call(sandbox, tmp_path, served, monkeypatch):
    from mnad.data import fetch
    from mnad.run import UserError

    monkeypatch.setattr(fetch, "RETRIES", 0)
    with pytest.raises(UserError, match=r"the same command goes on with it") as caught:
        fetch.fetch(f"{served}/stalls", tmp_path / "data", timeout=0.3)
    assert "\n" not in str(caught.value)
    (part,) = tmp_path.iterdir()
    assert part.suffix == ".part" and CONTENT[: 512 * 1024] == part.read_bytes()  # written in such pieces
    assert str(part) in str(caught.value)
    assert fetch.fetch(f"{served}/stalls", tmp_path / "data", timeout=5).startswith("5 normal")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("word", some_quick(["0", "-1", "inf", "nan", "soon"], 3))
def test_no_time_at_all(sandbox, tmp_path, word):
    get(sandbox, tmp_path, "http://127.0.0.1:9/x", "--timeout", word).refused("timeout")


LINKS = ["http://127.0.0.1:9/x", "http://", "ftp://127.0.0.1/x", "nonsense://x", "http://[::"]


@pytest.mark.parametrize("link", some_quick(LINKS, 3))
def test_links_that_lead_nowhere(sandbox, tmp_path, link):
    get(sandbox, tmp_path, link, "--timeout", 1).refused("cannot be downloaded")
    assert not list(tmp_path.iterdir())
