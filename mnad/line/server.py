"""The server beside the line: photographs in, verdicts out; and its page."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

from mnad.detector import Detector
from mnad.line.batching import Batcher, Busy
from mnad.line.boxes import Box
from mnad.line.cameras import Cameras, History, verdict_row
from mnad.line.guard import Guard, Refused
from mnad.line.judge import Judge, Judged, Upload, map_png
from mnad.line.limits import Limits
from mnad.line.meters import Meters
from mnad.run import UserError

PAGE = Path(__file__).with_name("page")
POLICY = (  # the page asks for nothing but this server, and no other page may hold it in a frame
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
FIELDS = 8  # of a form, beside its files
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "camera": {"type": "string"},
                        "well": {"type": "string"},
                    },
                }
            }
        },
    }
}


class BoxIn(BaseModel):
    """One well of a camera, in pixels."""

    id: str
    x: int
    y: int
    width: int
    height: int


def one_line(text: object) -> str:
    """``text`` without line breaks and other signs that no screen shows, not too long."""
    return "".join(sign if sign.isprintable() else " " for sign in str(text))[:300].strip()


def build_app(
    detector: Detector,
    about: dict[str, object],
    cameras: Cameras,
    limits: Limits | None = None,
    token: str = "",
    decoders: int = 2,
) -> FastAPI:
    """The application. Its threads end with it (the lifespan of ASGI), when what was accepted is answered.

    Args:
        about: what ``/version`` tells.
        cameras: the boxes of each.
        token: see :class:`mnad.line.guard.Guard`.
        decoders: threads that decode.

    Raises:
        UserError: the detector is not calibrated, or predicts frames of videos.
    """
    next(detector.predict([]), None)  # refuses a detector that cannot
    limits = limits or Limits()
    history = History()
    judge = Judge(detector)
    meters = Meters(about)
    batcher: Batcher[Upload, Judged, Judged] = Batcher(
        judge.prepare,
        judge.compute,
        waiting=limits.waiting,
        per_client=limits.per_client,
        decoders=decoders,
        told=meters.batches.observe,
    )
    meters.waiting.set_function(batcher.depth)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(batcher.close)

    # the pages of FastAPI for trying out an interface load programs from elsewhere
    app = FastAPI(title="MNAD on the line", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, limits=limits, token=token, measure=meters.request)
    answer_errors(app)

    @contextlib.asynccontextmanager
    async def form_of(request: Request) -> AsyncIterator[FormData]:
        try:
            form = await request.form(max_files=limits.images, max_fields=FIELDS, max_part_size=1000)
        except HTTPException as error:
            many = "Maximum number of files" in str(error.detail)
            line = f"body: more than {limits.images} images; expected at most as many" if many else (
                f"body: is no form with files ({one_line(error.detail)}); expected multipart/form-data"
            )  # fmt: skip
            raise Refused(413 if many else 422, line) from error
        try:
            yield form
        finally:
            await form.close()

    async def read(request: Request, most: int, wants_map: bool = False) -> list[Upload]:
        """The photographs of one request, of which the too long ones are not read."""
        async with form_of(request) as form:
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            if not 1 <= len(files) <= most:
                wanted = "1" if most == 1 else f"1 to {most}"
                raise Refused(422, f"files: {len(files)} images; expected {wanted} in multipart/form-data")
            camera, well = (str(form.get(key, "")).strip() for key in ("camera", "well"))
            boxes = await run_in_threadpool(cameras.read, camera) if camera else []
            if wants_map and camera:
                boxes = [box for box in boxes if box.id == well]
                if not boxes:
                    raise Refused(422, f"well: {one_line(well)!r}; expected the id of a box of camera {camera!r}")
            if len(files) * max(len(boxes), 1) > limits.per_client:
                raise Refused(413, f"files: {len(files)} of {len(boxes)} wells; expected at most {limits.per_client}")
            uploads = []
            for number, file in enumerate(files):
                name, size, error = one_line(file.filename or "") or f"#{number}", file.size or 0, ""
                if size > limits.file_bytes:
                    error = f"{name}: {size:,} bytes; expected at most {limits.file_bytes:,}"
                elif size == 0:
                    error = f"{name}: is empty (zero bytes); expected an image file"
                data = b"" if error else await file.read()
                uploads.append(Upload(name, data, camera, boxes, wants_map, error))
        return uploads

    async def judged(request: Request, uploads: list[Upload]) -> list[Judged]:
        client = request.client.host if request.client else ""
        try:
            futures = batcher.submit(client, uploads, max(len(uploads[0].boxes), 1))
        except Busy as busy:
            if busy.own:
                raise Refused(
                    429, f"server: {limits.per_client} of your pictures wait; try again in a second"
                ) from busy
            raise Refused(503, f"server: {batcher.depth()} pictures wait already; try again in a second") from busy
        waiting = asyncio.gather(*map(asyncio.wrap_future, futures))
        try:
            return await asyncio.wait_for(waiting, limits.seconds)
        except TimeoutError:
            raise Refused(503, f"server: no verdict within {limits.seconds:g} seconds; try again") from None

    @app.post("/verdicts", openapi_extra=FORM)
    async def verdicts(request: Request) -> JSONResponse:
        """A row for each image, or for each well of a camera's image, in their order; also for one that is none."""
        answers = await judged(request, await read(request, limits.images))
        rows = []
        for one in answers:
            for part in one.parts:
                rows.append(verdict_row(part.verdict, one.camera, part.well))
                history.add(part.verdict, one.camera, part.well, part.thumbnail)
        meters.verdicts(part.verdict for one in answers for part in one.parts)
        return JSONResponse(rows)

    @app.post("/map", openapi_extra=FORM, response_class=Response)
    async def anomaly_map(request: Request) -> Response:
        """The anomaly map of one image, or of one well of a camera's image, as PNG."""
        (answer,) = await judged(request, await read(request, 1, wants_map=True))
        part = answer.parts[0]
        if part.map is None:
            raise Refused(422, part.verdict.error)
        return Response(await run_in_threadpool(map_png, part), media_type="image/png")

    @app.get("/cameras")
    def list_cameras() -> dict[str, list[dict[str, object]]]:
        """All cameras that have boxes; one whose file is damaged has the reason."""
        found: list[dict[str, object]] = []
        for name in cameras.names():
            try:
                found.append({"id": name, "boxes": [asdict(box) for box in cameras.read(name)], "error": ""})
            except UserError as error:
                found.append({"id": name, "boxes": [], "error": one_line(error)})
        return {"cameras": found}

    @app.put("/cameras/{camera}")
    def save_camera(camera: str, boxes: list[BoxIn]) -> dict[str, object]:
        """Save the boxes of a camera."""
        cameras.write(camera, [Box(**box.model_dump()) for box in boxes])
        return {"id": camera, "boxes": len(boxes)}

    @app.get("/wells")
    def wells(since: Annotated[int, Query(ge=0)] = 0) -> dict[str, object]:
        """The last verdicts of each well since the start; ``since``: only wells that changed after that number."""
        return history.since(since)

    @app.get("/health")
    def health() -> dict[str, str]:
        """That it runs."""
        return {"status": "ok"}

    @app.get("/drift")
    def drift() -> dict[str, object]:
        """What the threshold promises, and whether the camera still sees what it was promised for."""
        return {"drifted": judge.gauge.drifted, "lines": judge.gauge.lines()}

    @app.get("/version")
    def version() -> dict[str, object]:
        """What runs here, and what it takes."""
        return about | {"limits": asdict(limits), "boxes": cameras.folder is not None}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        """For Prometheus."""
        return Response(meters.text(), media_type=meters.media_type)

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers=HEADERS)

    app.mount("/page", StaticFiles(directory=PAGE), "page")
    return app


def answer_errors(app: FastAPI) -> None:
    """Answer whatever goes wrong with one line of JSON."""

    @app.exception_handler(Refused)
    def refused(_: Request, error: Refused) -> JSONResponse:
        return error.response()

    @app.exception_handler(UserError)
    def user_error(_: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"error": one_line(error)}, 422)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return JSONResponse({"error": one_line(f"{where}: {first['msg']}")}, 422)

    @app.exception_handler(HTTPException)
    def other(request: Request, error: HTTPException) -> JSONResponse:
        line = one_line(f"{request.method} {request.url.path}: {error.detail}")
        return JSONResponse({"error": line}, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    def gone(_: Request, error: ClientDisconnect) -> JSONResponse:
        return JSONResponse({"error": "body: cut off"}, 400)  # nobody reads it

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> JSONResponse:
        logging.getLogger(__name__).error("%s %s", request.method, request.url.path)
        return JSONResponse({"error": f"server: failed ({type(error).__name__}); its log says more"}, 500)
