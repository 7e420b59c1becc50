"""The server: verdicts, maps, cameras, limits, who may ask."""

import csv
import io
import socket
import threading
import time

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from helpers import ROOT
from serving import TOKEN, build, running

from mnad.data.reading import read_image, resize
from mnad.line.judge import filled

HERE = "http://127.0.0.1"
BOXES = [
    {"id": "left", "x": 5, "y": 10, "width": 48, "height": 32},
    {"id": "right 2", "x": 60, "y": 50, "width": 48, "height": 32},
]


def files(*contents: tuple[str, bytes]):
    return [("files", content) for content in contents]


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with TestClient(build(tmp_path_factory.mktemp("boxes")), HERE) as started:
        yield started


@pytest.fixture
def picture(photographs) -> np.ndarray:
    """A camera's picture with two wells in it."""
    drawn = np.full((100, 120, 3), 90, np.uint8)
    for box, path in zip(BOXES, (photographs[0], photographs[-1]), strict=True):
        well = resize(read_image(path), (32, 48))
        drawn[box["y"] : box["y"] + 32, box["x"] : box["x"] + 48] = well
    return drawn


def test_a_row_for_each_image_also_for_bad_ones(client, detector, photographs):
    sent = [(path.name, path.read_bytes()) for path in photographs]
    sent[3:3] = [("bad.jpg", b"no image"), ("../../none.png", b""), ("cut.jpg", photographs[0].read_bytes()[:-200])]
    answer = client.post("/verdicts", files=files(*sent))
    assert answer.status_code == 200
    rows = answer.json()
    assert [row["path"] for row in rows] == [name for name, _ in sent]
    errors = [row["error"] for row in rows if row["error"]]
    assert [row["verdict"] for row in rows[3:6]] == [None] * 3 and len(errors) == 3
    for error, reason in zip(errors, ("is not a readable image", "is empty (zero bytes)", "is cut off"), strict=True):
        assert reason in error and "\n" not in error
    for row, verdict in zip((row for row in rows if not row["error"]), detector.predict(photographs), strict=True):
        assert row["score"] == pytest.approx(verdict.score, abs=1e-4) and row["verdict"] == verdict.verdict
        assert row["margin"] == pytest.approx(row["score"] - row["threshold"])
    assert list(rows[0])[:8] == ["path", "verdict", "score", "threshold", "margin", "error", "camera", "time"]


def test_batches_are_filled_to_a_power_of_two():
    pictures = [np.full((1, 1, 3), i, np.uint8) for i in range(70)]
    sizes = {count: len(filled(pictures[:count])) for count in (0, 1, 2, 3, 5, 33, 63, 64, 65, 67, 70)}
    assert sizes == {0: 0, 1: 1, 2: 2, 3: 4, 5: 8, 33: 64, 63: 64, 64: 64, 65: 65, 67: 68, 70: 72}
    assert all(a is b for a, b in zip(filled(pictures[:3]), [*pictures[:3], pictures[2]], strict=True))


def test_wells_of_a_camera(client, detector, picture):
    saved = client.put("/cameras/10_CAM_C", json=BOXES)
    assert saved.json() == {"id": "10_CAM_C", "boxes": 2}
    name = "10_CAM_C_01-03-2023_05-39-27-929.png"
    sent = files((name, png(picture)), ("small.png", png(picture[:60])))
    rows = client.post("/verdicts", files=sent, data={"camera": "10_CAM_C"}).json()
    assert [row["path"] for row in rows] == [f"{n}#{box['id']}" for n in (name, "small.png") for box in BOXES]
    assert (rows[0]["camera"], rows[0]["time"]) == ("10_CAM_C", "2023-03-01T05:39:27.929")
    cuts = [picture[b["y"] : b["y"] + b["height"], b["x"] : b["x"] + b["width"]] for b in BOXES]
    expected = [verdict.score for verdict in detector.predict(cuts)]
    assert [row["score"] for row in rows[:2]] == pytest.approx(expected, abs=1e-4)
    assert "box 'right 2' ends at 108, 82; expected one inside the picture of 120 x 60" in rows[3]["error"]
    remembered = client.get("/wells").json()
    mine = {well["well"]: well for well in remembered["wells"] if well["camera"] == "10_CAM_C" and well["well"]}
    assert [len(well["verdicts"]) for well in mine.values()] == [2, 2]
    assert mine["left"]["verdicts"][0]["score"] == rows[0]["score"]
    assert mine["left"]["thumbnail"].startswith("data:image/jpeg;base64,")
    assert client.get("/wells", params={"since": remembered["change"]}).json()["wells"] == []


def test_the_map_is_that_of_the_detector(client, detector, photographs, picture):
    pixels = resize(read_image(photographs[-1]), detector.config.images.size)
    answer = client.post("/map", files=files(("well.png", png(pixels))))
    assert answer.headers["content-type"] == "image/png"
    shown = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    values = np.clip(detector.anomaly_map(pixels[None])[0] / detector.model.map_ceiling * 255, 0, 255)
    colours = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_INFERNO).reshape(256, 3)
    assert np.abs(shown.astype(int) - colours[values.astype(np.uint8)]).max() <= 6  # a level of rounding
    client.put("/cameras/c", json=BOXES)
    sent = {"files": files(("camera.png", png(picture)))}
    of_well = client.post("/map", **sent, data={"camera": "c", "well": "left"}).content
    assert cv2.imdecode(np.frombuffer(of_well, np.uint8), cv2.IMREAD_COLOR).shape == (32, 48, 3)
    for data, message in (
        ({"camera": "c", "well": "x"}, "well: 'x'; expected the id"),
        ({"camera": "d"}, "'d' has no"),
    ):
        answer = client.post("/map", **sent, data=data)
        assert answer.status_code == 422 and message in answer.json()["error"]
    answer = client.post("/map", files=files(("bad.png", b"x")))
    assert answer.status_code == 422 and "is not a readable image" in answer.json()["error"]


def test_boxes_are_files_that_may_be_changed_by_hand(tmp_path):
    with TestClient(build(tmp_path), HERE) as client:
        client.put("/cameras/east gate", json=BOXES)
        rows = list(csv.DictReader(io.StringIO((tmp_path / "east gate.csv").read_text())))
        assert [{k: v if k == "id" else int(v) for k, v in row.items()} for row in rows] == BOXES
        (tmp_path / "east gate.csv").write_text("id,x,y,width,height\nonly,1,2,3,4\n")
        (tmp_path / "broken.csv").write_text("id,x\n")
        broken, gate = client.get("/cameras").json()["cameras"]
        assert gate["boxes"] == [{"id": "only", "x": 1, "y": 2, "width": 3, "height": 4}]
        assert broken["boxes"] == [] and "no column y, width, height" in broken["error"]


@pytest.mark.parametrize(
    ("camera", "boxes", "message"),
    [
        ("c", [], "boxes: 0; expected 1 to 1000"),
        ("c", [BOXES[0], BOXES[0]], "an id is given twice"),
        ("c", [BOXES[0] | {"id": "a/b"}], "boxes: 'a/b'; expected 1 to 64 letters"),
        ("c", [BOXES[0] | {"width": 0}], "expected one with an inside"),
        ("c", [BOXES[0] | {"x": "wide"}], "body.0.x: Input should be a valid integer"),
        ("..%2F..%2Fetc", BOXES, "Not Found"),
        (".hidden", BOXES, "camera: '.hidden'; expected 1 to 64 letters"),
    ],
)
def test_bad_boxes(client, camera, boxes, message):
    answer = client.put(f"/cameras/{camera}", json=boxes)
    assert answer.status_code in (404, 422) and message in answer.json()["error"]


def test_without_a_folder_there_are_no_cameras(photographs):
    with TestClient(build(), HERE) as client:
        for answer in (
            client.put("/cameras/c", json=BOXES),
            client.post("/verdicts", files=files(("a", b"x")), data={"camera": "c"}),
        ):
            assert answer.status_code == 422 and "started without --boxes" in answer.json()["error"]


def test_limits(photographs, monkeypatch):
    monkeypatch.setenv("MNAD_MAX_PIXELS", "10000")
    content = photographs[0].read_bytes()
    huge = png(np.zeros((101, 100, 3), np.uint8))
    limits = {"images": 3, "request_bytes": 50_000, "file_bytes": 20_000, "per_client": 3}
    with TestClient(build(**limits), HERE) as client:
        rows = client.post("/verdicts", files=files(("big", b"x" * 20_001), ("a.jpg", content), ("p.png", huge))).json()
        assert rows[0]["error"] == "big: 20,001 bytes; expected at most 20,000" and rows[1]["verdict"]
        assert "p.png: 100 x 101 pixels; expected at most 10,000" in rows[2]["error"]
        form = {"content-type": "multipart/form-data; boundary=x"}
        for sent, status, message in (
            ({"files": files(*[("a.jpg", content)] * 4)}, 413, "body: more than 3 images"),
            ({"files": files(("a.jpg", b"x" * 60_000))}, 413, "expected at most 50,000"),
            ({"content": iter([b"x" * 40_000] * 2), "headers": form}, 413, "body: more than 50,000 bytes"),
            ({}, 422, "files: 0 images; expected 1 to 3 in multipart/form-data"),
            ({"content": b"{}", "headers": form}, 422, "body: is no form with files"),
        ):
            answer = client.post("/verdicts", **sent)
            assert answer.status_code == status and message in answer.json()["error"], answer.text
        assert client.post("/map", files=files(("a", content), ("b", content))).status_code == 422
        assert client.get("/nowhere").json() == {"error": "GET /nowhere: Not Found"}
        assert client.delete("/verdicts").json() == {"error": "DELETE /verdicts: Method Not Allowed"}


def test_too_many_and_too_late(photographs, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr("mnad.line.judge.Judge.compute", lambda self, some: (release.wait(20), some)[1])
    content = photographs[0].read_bytes()
    with TestClient(build(waiting=6, per_client=4, seconds=0.5), HERE) as client:
        three = {"files": files(*[("a.jpg", content)] * 3)}
        late = client.post("/verdicts", **three)
        assert late.status_code == 503 and late.json()["error"].startswith("server: no verdict within 0.5 seconds")
        own = client.post("/verdicts", **three)
        assert (own.status_code, own.headers["retry-after"]) == (429, "1")
        other = TestClient(client.app, HERE, client=("10.0.0.1", 1))
        full = other.post("/verdicts", files=files(*[("a.jpg", content)] * 4))
        assert full.status_code == 503 and full.json() == {
            "error": "server: 3 pictures wait already; try again in a second"
        }
        release.set()
    with TestClient(build(pending_bytes=20_000), HERE) as client:
        answer = client.post("/verdicts", files=files(("a.jpg", b"x" * 30_000)))
        assert answer.status_code == 503 and "20,000 bytes are being read" in answer.json()["error"]


def test_a_body_that_never_ends_is_refused(photographs):
    with running(build(body_seconds=0.3)) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
            slow.sendall(b"POST /verdicts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
                         b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")  # fmt: skip
            answer = b""
            while not answer.endswith(b"}"):  # headers and body may come one after the other
                part = slow.recv(10_000)
                assert part, answer
                answer += part
        assert b" 408 " in answer and b"body: still coming after 0.3 seconds" in answer


def test_a_header_that_never_ends_is_hung_up_on(monkeypatch):
    monkeypatch.setattr("mnad.line.listening.HEADER_SECONDS", 0.2)
    with running(build()) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
            slow.sendall(b"GET /health HTTP/1.1\r\nHost: ")
            assert slow.recv(10) == b""
        with socket.create_connection(("127.0.0.1", port), timeout=10) as long:
            long.sendall(b"GET /health HTTP/1.1\r\nX: " + b"a" * 15_000)
            long.sendall(b"a" * 5_000)
            assert long.recv(1000).startswith(b"HTTP/1.1 4")


def test_token_and_other_sites():
    with TestClient(build(token=TOKEN), "http://plant.example") as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            for path in ("/wells", "/version", "/metrics", "/cameras", "/openapi.json"):
                answer = client.get(path, headers=headers)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert client.post("/verdicts", files=files(("a", b"x"))).status_code == 401
        assert [client.get(path).status_code for path in ("/", "/page/page.js", "/health")] == [200] * 3
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/wells", headers=right).status_code == 200
        assert client.get("/wells", headers=right | {"Origin": "http://evil.example"}).status_code == 403
        assert client.get("/wells", headers=right | {"Origin": "http://plant.example"}).status_code == 200
    with TestClient(build(), "http://rebound.example") as client:
        answer = client.get("/wells")
        assert answer.status_code == 403 and "host: 'rebound.example'; expected 127.0.0.1" in answer.json()["error"]


def test_health_version_metrics(client, photographs):
    assert client.get("/health").json() == {"status": "ok"}
    drift = client.get("/drift").json()
    assert drift["drifted"] is None and "of the 200 pictures that it needs to start" in drift["lines"][-1]
    told = client.get("/version").json()
    import hashlib

    digest = hashlib.sha256((ROOT / "checkpoints" / "synthetic.safetensors").read_bytes()).hexdigest()
    assert (told["checkpoint"], told["checkpoint_sha256"]) == ("synthetic", digest)
    assert told["limits"]["images"] == 64 and told["version"] and told["git_revision"]

    def values() -> dict[str, float]:
        lines = client.get("/metrics").text.splitlines()
        return {k: float(v) for k, _, v in (line.rpartition(" ") for line in lines if not line.startswith("#"))}

    before = values()
    client.post("/verdicts", files=files(("a.jpg", photographs[0].read_bytes()), ("b", b"x")))
    client.get("/made-up-by-a-client")
    after = values()
    for name, more in (
        ('mnad_verdicts_total{verdict="error"}', 1),
        ('mnad_requests_total{method="POST",path="/verdicts",status="200"}', 1),
        ('mnad_requests_total{method="GET",path="other",status="404"}', 1),
    ):
        assert after[name] - before.get(name, 0) == more
    assert after["mnad_waiting_wells"] == 0 and not any("made-up" in name for name in after)


def test_it_stops_when_what_was_accepted_is_answered(photographs, monkeypatch):
    import httpx

    from mnad.line.judge import Judge

    compute, begun = Judge.compute, threading.Event()

    def slowly(self, some):
        begun.set()
        time.sleep(0.6)
        return compute(self, some)

    monkeypatch.setattr(Judge, "compute", slowly)
    answers = []
    content = photographs[0].read_bytes()
    with running(build()) as address:
        asked = threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"{address}verdicts", files=files(("a.jpg", content)), trust_env=False)
            )
        )
        asked.start()
        assert begun.wait(60)
    asked.join(60)
    assert answers[0].status_code == 200 and answers[0].json()[0]["verdict"]


def test_starting(script, capsys, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "file").write_text("x")
        for arguments, message in (
            ([f"--port={port}"], f"127.0.0.1:{port}: address already in use; expected a free --port"),
            (["--port=70000"], "port: expected a number from 0 to 65535"),
            (["--host=0.0.0.0"], "host: '0.0.0.0' is reached from other machines; expected --token"),
            (["--host=0.0.0.0", "--token=short"], "token: expected 16 or more signs"),
            (["--limits.images=0"], "limits.images: expected a number above 0"),
            (["--port=0", "--checkpoint=nothing"], "nothing: missing; expected a checkpoint"),
            (["--port=0", "--checkpoint=synthetic", "--boxes", tmp_path / "file"], "cannot be made"),
        ):
            assert script("serve", *arguments) == 2
            (line,) = capsys.readouterr().err.strip().splitlines()
            assert line.startswith("error: ") and message in line


def test_a_failure_is_one_line(monkeypatch, photographs):
    monkeypatch.setattr("mnad.line.judge.Judge.compute", lambda self, some: 1 / 0)
    with TestClient(build(), HERE, raise_server_exceptions=False) as client:
        answer = client.post("/verdicts", files=files(("a.jpg", photographs[0].read_bytes())))
    assert answer.status_code == 500
    assert answer.json() == {"error": "server: failed (ZeroDivisionError); its log says more"}
