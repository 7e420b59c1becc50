"""The server as a process under load: 64 clients at once, some hostile; nothing lost, memory flat, a graceful stop."""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from helpers import ROOT

from mnad.detector import Detector

TOKEN = "correct-horse-battery"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
HOSTILE = 20


def resident(process: subprocess.Popen) -> float:
    """Memory of the process in MB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.fixture
def process():
    """The server, and its log as an open file."""
    command = [sys.executable, ROOT / "scripts" / "serve.py", "--checkpoint=synthetic", "--port=0", f"--token={TOKEN}"]
    command += ["--limits.body_seconds=2", "--limits.requests=512"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as made,
    ):
        yield made, log
        made.kill()


def hostile(kind: int, port: int, stop: threading.Event) -> list[int]:
    """Ask badly until told to stop; the statuses that came."""
    statuses = []
    random_bytes = random.Random(kind).randbytes
    while not stop.is_set():
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            head = b"POST /verdicts HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            form = b"Authorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=x\r\n" % TOKEN.encode()
            match kind % 5:
                case 0:
                    line.sendall(random_bytes(3000))
                case 1:  # a header without end
                    line.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 40_000)
                case 2:  # a body that never comes
                    line.sendall(head + form + b"Content-Length: 5000\r\n\r\n--x\r\n")
                case 3:
                    line.sendall(
                        head + b"Authorization: Bearer wrong-wrong-wrong\r\nContent-Length: 9\r\n\r\nsome body"
                    )
                case 4:  # a form of noise
                    line.sendall(head + form + b"Content-Length: 3000\r\n\r\n" + random_bytes(3000))
            try:
                answer = line.recv(1000)
            except ConnectionError:
                continue
            if answer.startswith(b"HTTP/1.1 "):
                statuses.append(int(answer[9:12]))
    return statuses


@pytest.mark.slow
def test_64_clients_at_once_some_hostile(process, tiny_wells):
    process, log = process
    process.stdout.readline()
    address = process.stdout.readline().split()[0]
    port = int(address.rstrip("/").rpartition(":")[2])
    paths = sorted((tiny_wells / "test" / "imgs").iterdir())
    contents = [path.read_bytes() for path in paths]
    expected = [verdict.score for verdict in Detector.load("synthetic").predict(paths)]

    def ask(number: int, times: int) -> int:
        """Ask well; the photographs that had their own score in answer."""
        right, choose = 0, random.Random(number)
        with httpx.Client(headers=RIGHT, timeout=60, trust_env=False) as client:
            for _ in range(times):
                some = [choose.randrange(len(paths)) for _ in range(choose.randint(1, 6))]
                sent = [("files", (f"{i}.jpg", contents[i])) for i in some] + [("files", ("bad", b"bad"))]
                answer = client.post(f"{address}verdicts", files=sent)
                assert answer.status_code == 200, answer.text
                rows = answer.json()
                assert [row["path"] for row in rows] == [f"{i}.jpg" for i in some] + ["bad"] and rows[-1]["error"]
                assert [row["score"] for row in rows[:-1]] == pytest.approx([expected[i] for i in some], rel=1e-4)
                right += 1
        return right

    def storm(times: int) -> list[list[int]]:
        stop = threading.Event()
        with ThreadPoolExecutor(64) as pool:
            bad = [pool.submit(hostile, kind, port, stop) for kind in range(HOSTILE)]
            good = [pool.submit(ask, number, times) for number in range(64 - HOSTILE)]
            try:
                assert sum(one.result() for one in good) == times * (64 - HOSTILE)
            finally:
                stop.set()
            return [one.result() for one in bad]

    storm(6)
    before = resident(process)
    answers = storm(20)
    after = resident(process)
    print(f"resident {before:.0f} MB after 264 requests, {after:.0f} MB after 1,144")
    assert after < before + 15
    kinds = [{status for one in answers[kind::5] for status in one} for kind in range(5)]
    assert kinds[1] <= {400, 431} and kinds[3] == {401} and kinds[4] == {422}
    assert kinds[2] == {408} and kinds[0] <= {400}
    metrics = httpx.get(f"{address}metrics", headers=RIGHT, trust_env=False).text
    assert "mnad_waiting_wells 0.0" in metrics

    # told to stop with many requests on their way: whoever was accepted is answered, with all rows
    told = threading.Barrier(9)

    def last(number: int) -> str:
        with httpx.Client(headers=RIGHT, timeout=60, trust_env=False) as client:
            client.get(f"{address}health")  # the connection is there
            told.wait()
            sent = [("files", (f"{i}.jpg", contents[i % len(contents)])) for i in range(60)]
            try:
                answer = client.post(f"{address}verdicts", files=sent)
            except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                return "not accepted"
            assert answer.status_code == 200 and len(answer.json()) == 60
            return "answered"

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(last, number) for number in range(8)]
        told.wait()
        threading.Event().wait(0.15)
        process.send_signal(signal.SIGTERM)
        ends = [one.result() for one in asked]
    assert ends.count("answered") >= 1, ends
    assert process.wait(20) == 0
    assert process.stdout.read().strip().splitlines()[-1] == "stopped"
    log.seek(0)
    assert log.read() == ""
