"""What Prometheus is told of the server."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from mnad.run.verdict import Verdict

PATHS = ("/", "/verdicts", "/map", "/cameras", "/wells", "/health", "/version", "/metrics")  # others are counted as one
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Meters:
    """Counts requests, verdicts and batches of one server, apart from those of others in the same process."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, about: dict[str, object]) -> None:
        self.registry = registry = CollectorRegistry()
        names = ("method", "path", "status")
        self.requests = Counter("mnad_requests", "Requests answered.", names, registry=registry)
        self.seconds = Histogram(
            "mnad_request_seconds", "Time to answer a request.", ("path",), buckets=SECONDS, registry=registry
        )
        self.images = Counter("mnad_verdicts", "Verdicts, or errors.", ("verdict",), registry=registry)
        self.batches = Histogram("mnad_batch_wells", "Wells judged at once.", buckets=SIZES, registry=registry)
        self.waiting = Gauge("mnad_waiting_wells", "Wells that wait or are judged.", registry=registry)
        built = {key: str(about[key]) for key in ("version", "git_revision", "checkpoint_sha256") if key in about}
        Gauge("mnad_build", "What runs.", tuple(built), registry=registry).labels(**built).set(1)

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one request; names that a client made up do not become series of their own."""
        known = path if path in PATHS else "other"
        method = method if method in ("GET", "POST", "PUT", "HEAD") else "other"
        self.requests.labels(method, known, str(status)).inc()
        self.seconds.labels(known).observe(seconds)

    def verdicts(self, verdicts: Iterable[Verdict]) -> None:
        """Count the verdicts of one request."""
        for verdict in verdicts:
            self.images.labels(verdict.verdict or "error").inc()

    def text(self) -> bytes:
        """All of it, in the form that Prometheus reads."""
        return generate_latest(self.registry)
