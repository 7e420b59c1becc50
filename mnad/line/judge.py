"""From uploads to verdicts: what the server's threads do with them."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mnad.data.images import fitted
from mnad.data.reading import read_pixels, small
from mnad.detector import Detector
from mnad.line.boxes import Box
from mnad.line.gauge import LineGauge
from mnad.run import UserError
from mnad.run.verdict import Verdict

THUMBNAIL = 112  # longer side, in pixels
BATCH = 64  # wells scored at once


@dataclass(frozen=True)
class Upload:
    """One photograph as a client sent it.

    Attributes:
        name: its file name.
        data: its bytes.
        camera: whose boxes cut it; empty for none.
        boxes: the wells in it; none takes all of it as one.
        wants_map: whether the anomaly map of the first well is asked for, too.
        error: why it is not looked at; empty when it is.
    """

    name: str
    data: bytes
    camera: str = ""
    boxes: Sequence[Box] = ()
    wants_map: bool = False
    error: str = ""


@dataclass
class Part:
    """One well of an upload.

    Attributes:
        verdict: with the error, if there is one.
        well: its id; empty where all of the photograph is one.
        pixels: H x W x 3 uint8 of the model's size; None beside an error.
        thumbnail: as an address (``data:``).
        map: H x W float32 if it was asked for, 1 and more is the brightest.
        size: (height, width) of the well in the photograph.
    """

    verdict: Verdict
    well: str = ""
    pixels: np.ndarray | None = None
    thumbnail: str = ""
    map: np.ndarray | None = None
    size: tuple[int, int] = (0, 0)


@dataclass
class Judged:
    """An upload with its wells, which have their verdicts in the end."""

    camera: str
    wants_map: bool
    parts: list[Part]


def thumbnail(picture: np.ndarray) -> str:
    """``picture`` (H x W x 3 uint8 RGB) as a small JPEG inside an address."""
    content = cv2.imencode(".jpg", small(picture, THUMBNAIL)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def map_png(part: Part) -> bytes:
    """The anomaly map of ``part`` as a PNG of the well's own size, at most 1024 pixels long; dark is as expected."""
    values = np.clip(part.map * 255, 0, 255).astype(np.uint8)
    scale = min(1, 1024 / max(part.size))
    height, width = (max(1, round(side * scale)) for side in part.size)
    shown = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.imencode(".png", cv2.applyColorMap(shown, cv2.COLORMAP_INFERNO))[1].tobytes()


def filled(pixels: list[np.ndarray]) -> list[np.ndarray]:
    """``pixels`` with the last repeated, so that the last batch is a power of two.

    PyTorch keeps programs and buffers for every size of a batch that it has seen: 64 sizes were 230 MB (2026-11-25).
    """
    rest = len(pixels) % BATCH
    return pixels + pixels[-1:] * ((1 << (rest - 1).bit_length()) - rest if rest else 0)


class Judge:
    """Decodes uploads and gives their wells verdicts."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.size = detector.config.images.size
        self.gauge = LineGauge(detector)

    def prepare(self, upload: Upload) -> Judged:
        """Decode one upload and cut it into its wells; what is wrong with it stands in their verdicts."""
        boxes: Sequence[Box | None] = upload.boxes or (None,)
        names = [upload.name if box is None else f"{upload.name}#{box.id}" for box in boxes]
        error, picture = upload.error, np.zeros((0, 0, 3), np.uint8)
        try:
            if not error:
                picture, _ = read_pixels(upload.data, upload.name)
        except UserError as found:
            error = str(found)
        except (MemoryError, cv2.error, ValueError) as found:  # a picture too large, for one
            error = f"{upload.name}: cannot be decoded ({found}); expected an image"
        parts = [self._part(upload, name, box, picture, error) for name, box in zip(names, boxes, strict=True)]
        return Judged(upload.camera, upload.wants_map, parts)

    def _part(self, upload: Upload, name: str, box: Box | None, picture: np.ndarray, error: str) -> Part:
        well = box.id if box else ""
        if error:
            return Part(Verdict(name, error=" ".join(error.split())), well)
        try:
            cut = box.cut(picture, upload.name) if box else picture
        except UserError as found:
            return Part(Verdict(name, error=str(found)), well)
        pixels = fitted(cut, self.size, self.detector.image_fit).copy()  # a view would keep all of a large photograph
        return Part(Verdict(name), well, pixels, thumbnail(cut), size=cut.shape[:2])

    def compute(self, some: list[Judged]) -> list[Judged]:
        """``some`` with the verdicts on all their wells."""
        good = [part for judged in some for part in judged.parts if part.pixels is not None]
        verdicts = self.detector.predict(filled([part.pixels for part in good]), BATCH, statistics=True)
        for part, verdict in zip(good, verdicts, strict=False):  # the fillers come last
            name = part.verdict.path
            part.verdict = replace(verdict, path=name, error=verdict.error.replace(verdict.path, name, 1))
            self.gauge.update(part.verdict)
        for judged in some:
            if judged.wants_map and judged.parts[0].pixels is not None:
                values = self.detector.anomaly_map(judged.parts[0].pixels[None])[0]
                judged.parts[0].map = values / self.detector.model.map_ceiling
        return some
