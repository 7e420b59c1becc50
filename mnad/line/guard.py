"""Who may ask the server, and how much of a request it takes in: the gate before the application."""

import asyncio
import hmac
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mnad.line.limits import Limits, host_name, is_loopback

OPEN = ("/", "/health")  # without a token, like what is below PAGE; they tell nothing
PAGE = "/page/"


class Refused(Exception):
    """A request that is not answered with what it asked for.

    Attributes:
        status: of HTTP.
        line: why, for whoever sent it.
    """

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line

    def response(self) -> JSONResponse:
        """The answer: one line of JSON."""
        headers = {"Retry-After": "1"} if self.status in (429, 503) else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": self.line}, self.status, headers)


class Guard:
    """Refuses who may not ask, and requests that are too long, too slow or too many; measures all of them.

    Args:
        app: what answers.
        limits: see there.
        token: that every request must bring (``Authorization: Bearer``), except those for the page itself; empty asks
            for none, and then only requests made to this machine by its own name are answered, so that no page of
            another site reaches the server through the browser of somebody here.
        measure: told method, path, status and seconds of every request.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, token: str, measure: Callable[[str, str, int, float], None]
    ) -> None:
        self.app, self.limits, self.token, self.measure = app, limits, token.encode(), measure
        self.requests = self.pending_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class; anything but HTTP passes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        headers = Headers(scope=scope)
        body = _Body(self, receive)
        try:
            try:
                self._check(scope["path"], headers)
            except Refused as refused:
                if headers.get("expect") is None:
                    await body.drain()
                await refused.response()(scope, receive, noting)
                return
            self.requests += 1
            try:
                await self.app(scope, body, noting)
            finally:
                self.requests -= 1
        finally:
            self.pending_bytes -= body.taken
            self.measure(scope["method"], scope["path"], status, time.perf_counter() - started)

    def _check(self, path: str, headers: Headers) -> None:
        free = path in OPEN or path.startswith(PAGE)
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise Refused(403, f"origin: {origin[:80]!r}; expected a page of this server")
        if self.token:
            kind, _, given = headers.get("authorization", "").partition(" ")
            right = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self.token)
            if not free and not (kind.lower() == "bearer" and right):
                raise Refused(401, "authorization: missing or wrong; expected Authorization: Bearer TOKEN")
        elif not is_loopback(host_name(host)):
            raise Refused(403, f"host: {host[:80]!r}; expected 127.0.0.1 or localhost")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.limits.request_bytes:
            raise Refused(413, f"body: {length[:20]} bytes; expected at most {self.limits.request_bytes:,}")
        if self.requests >= self.limits.requests and not free:
            raise Refused(503, f"server: {self.requests} requests at once already; try again in a second")


class _Body:
    """The body of one request as it comes: counted, with a deadline."""

    def __init__(self, guard: Guard, receive: Receive) -> None:
        self.guard, self.receive = guard, receive
        self.taken = 0
        self.ended = False
        self.deadline = asyncio.get_running_loop().time() + guard.limits.body_seconds

    async def __call__(self) -> Message:
        limits = self.guard.limits
        if self.ended:  # waiting for the client to go away has no end
            return await self.receive()
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self.receive()
        except TimeoutError:
            self.ended = True
            raise Refused(
                408, f"body: still coming after {limits.body_seconds:g} seconds; expected it by then"
            ) from None
        count = len(message.get("body", b""))
        self.taken += count
        self.guard.pending_bytes += count
        self.ended = not message.get("more_body", False)
        if self.taken > limits.request_bytes:
            raise Refused(413, f"body: more than {limits.request_bytes:,} bytes; expected at most as many")
        if self.guard.pending_bytes > limits.pending_bytes:
            raise Refused(503, f"server: {limits.pending_bytes:,} bytes are being read; try again in a second")
        return message

    async def drain(self, seconds: float = 1.0, most: int = 4_000_000) -> None:
        """Throw away what the client still sends, within reason: it reads no answer before it has sent all."""
        dropped = 0
        try:
            async with asyncio.timeout(seconds):
                while dropped < most:
                    message = await self.receive()
                    dropped += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            return
