"""Measure the server: many clients at once, one photograph a request; latency p50, p95, p99 and requests a second.

Starts scripts/serve.py as a process of its own, asks it from this one, stops it.
"""

from dataclasses import dataclass
from pathlib import Path

from mnad.run import UserError
from mnad.run.cli import run


@dataclass
class BenchmarkConfig:
    """What to measure.

    Args:
        images: folder of photographs to send, in turn.
        checkpoint: run folder, .safetensors file, or the name of a shipped detector.
        clients: that ask at once, each again as soon as it has its answer.
        requests: all clients together, after one for each that is not counted.
    """

    images: Path
    checkpoint: Path = Path("wells")
    clients: int = 64
    requests: int = 3000

    def __post_init__(self) -> None:
        """Raises ``UserError`` for numbers below 1."""
        for key in ("clients", "requests"):
            if getattr(self, key) < 1:
                raise UserError(f"{key}: expected 1 or more, got {getattr(self, key)}")


def main(config: BenchmarkConfig) -> None:
    """Start, ask, print, stop."""
    import http.client
    import itertools
    import subprocess
    import sys
    import time
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from mnad.data.reading import list_images, read_bytes

    bodies = [
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        + read_bytes(path)
        + b"\r\n--x--\r\n"
        for path in list_images(config.images)[:1000]
    ]
    serve = [
        sys.executable,
        str(Path(__file__).with_name("serve.py")),
        "--checkpoint",
        str(config.checkpoint),
        "--port",
        "0",
    ]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(2)]
            if not lines[1]:
                raise UserError("server: did not start; see its line above")
            port = int(lines[1].split()[0].rstrip("/").rpartition(":")[2])
            turns = itertools.count()

            def ask(connection: http.client.HTTPConnection) -> float:
                body = bodies[next(turns) % len(bodies)]
                started = time.perf_counter()
                connection.request("POST", "/verdicts", body, {"Content-Type": "multipart/form-data; boundary=x"})
                answer = connection.getresponse()
                text = answer.read()
                seconds = time.perf_counter() - started
                if answer.status != 200:
                    raise UserError(f"server: {answer.status} {text.decode(errors='replace')[:200]}; expected verdicts")
                return seconds

            def client(times: int) -> list[float]:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                ask(connection)
                return [ask(connection) for _ in range(times)]

            share = max(1, config.requests // config.clients)
            started = time.perf_counter()
            with ThreadPoolExecutor(config.clients) as pool:
                seconds = np.concatenate(list(pool.map(client, [share] * config.clients)))
            total = time.perf_counter() - started
        finally:
            process.terminate()
            process.communicate()
    rate = (len(seconds) + config.clients) / total
    p50, p95, p99 = np.percentile(seconds * 1000, (50, 95, 99))
    print(f"{config.clients} clients, {len(seconds):,} requests of one photograph: {rate:,.0f} a second")
    print(f"latency p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    run(main, BenchmarkConfig, __doc__)
