"""Drawn casting wells, one at a time: shapes, noise fields, exposure and white balance are random numbers.

A well is an ellipse in a greenish plate. Its bluish wall shows as a crescent above rough yellowish metal.
An *overflow* spill runs glittering over the rim, an *empty* well shows only the smooth wall. Nothing is
copied from photographs.
"""

import cv2
import numpy as np
from numpy.random import Generator

from mnad.run import UserError

STATES = {"low": 0.3, "full": 0.25, "neck": 0.25, "bright": 0.12, "dark": 0.08}  # share among plain normals
NUISANCES = {"clamp": 0.4, "hand": 0.2, "bar": 0.15, "offcentre": 0.15, "dim": 0.1}  # share among odd normals
SPILLS = {"overflow": 0.75, "empty": 0.25}  # share among the test spills; proliv shows overflow only
KINDS = (*STATES, *NUISANCES, *SPILLS)
WIDTHS, HEIGHTS = (39, 72), (23, 40)  # pixels, inclusive

# Colours, RGB 0..255.
PLATE, RIM, WALL, METAL = (115, 146, 127), (84, 100, 82), (95, 122, 122), (125, 150, 118)
GLITTER = ((235, 240, 225), (200, 205, 110), (90, 200, 175), (70, 85, 150), (215, 170, 120), (45, 60, 60))
YELLOW, BLACK, STEEL = (138, 156, 52), (28, 34, 26), (98, 126, 130)
SLEEVES = ((38, 32, 40), (84, 78, 44), (168, 104, 66), (52, 58, 50))  # dark tool, leather, orange glove, grey


def _field(rng: Generator, shape: tuple[int, ...], rows: int, columns: int) -> np.ndarray:
    """Smooth random field (H, W), about zero mean and unit variance, with ``rows`` x ``columns`` bumps."""
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _inside(distance: np.ndarray, softness: float) -> np.ndarray:
    """Opacity 0..1 of a region from a signed distance, positive inside."""
    return np.clip(0.5 + distance / (2 * softness), 0, 1).astype(np.float32)


class _Canvas:
    """Float RGB image (H, W, 3), 0..255, with coordinates of the image and of the well.

    ``u``, ``v`` run 0..1 over the image. ``x``, ``y``, ``r`` are 0 in the middle of the well, where ``r`` = 1
    is the rim.
    """

    def __init__(self, rng: Generator, height: int, width: int, shift: tuple[float, float], zoom: float) -> None:
        self.rng = rng
        self.u, self.v = np.meshgrid(
            (np.arange(width, dtype=np.float32) + 0.5) / width,
            (np.arange(height, dtype=np.float32) + 0.5) / height,
        )
        self.x = (self.u - 0.5 - shift[0]) / (rng.normal(0.445, 0.012) * zoom)
        self.y = (self.v - 0.56 - shift[1]) / (rng.normal(0.47, 0.015) * zoom)
        self.r = np.hypot(self.x, self.y)
        self.image = np.empty((height, width, 3), np.float32)
        self.image[:] = PLATE

    def field(self, rows: int, columns: int) -> np.ndarray:
        """Smooth random field of the canvas size."""
        return _field(self.rng, self.u.shape, rows, columns)

    def cover(self, opacity: np.ndarray, colour: np.ndarray | tuple[float, ...]) -> None:
        """Paint ``colour`` (one RGB or an image) with ``opacity`` (H, W), 0..1."""
        self.image += opacity[..., None] * (np.asarray(colour, np.float32) - self.image)

    def shade(self, amount: np.ndarray) -> None:
        """Add ``amount`` (H, W) to all three channels."""
        self.image += amount[..., None]


def _plate_and_wall(canvas: _Canvas, layers: float) -> None:
    """Plate, rim, smooth inner wall; ``layers`` is the contrast of the wall's horizontal seams."""
    rng, y, r = canvas.rng, canvas.y, canvas.r
    canvas.shade(2.5 * canvas.field(3, 4) + rng.normal(0, 4) * (canvas.u - 0.5) + rng.normal(0, 6) * (canvas.v - 0.5))
    rust = rng.uniform(0, 0.7) ** 2 * _inside(r - 1.1, 0.25) * _inside(0.6 * canvas.field(3, 4), 1)
    canvas.cover(rust, (104, 116, 90))
    upper = _inside(0.1 - y, 0.5)
    canvas.cover(rng.uniform(0.2, 0.75) * upper * _inside(0.05 - np.abs(r - 1.03), 0.05), RIM)
    channel = _inside(rng.uniform(0.34, 0.46) - np.abs(canvas.x), 0.05) * _inside(y - 0.75, 0.08)
    wall = np.maximum(_inside(1 - r, 0.03), channel)
    canvas.cover(wall, np.add(WALL, (rng.normal(0, 1), 0, rng.normal(0, 1))))
    seam = np.hypot(canvas.x, y - rng.uniform(0.12, 0.2)) / 0.97
    canvas.shade(-layers * wall * upper * _inside(0.035 - np.abs(seam - 1), 0.03))
    canvas.shade(wall * (rng.normal(3, 1.5) * y + 0.8 * canvas.field(3, 4)))


def _metal_texture(canvas: _Canvas, contrast: float) -> np.ndarray:
    """Rough metal, image (H, W, 3)."""
    rng = canvas.rng
    rough = 0.7 * canvas.field(4, 6) + 1.0 * canvas.field(8, 12) + 0.7 * canvas.field(14, 22)
    tint = 2 * canvas.field(3, 4)
    base = np.add(METAL, (0, 0, rng.normal(0, 2))).astype(np.float32)
    return base + (contrast * rough)[..., None] + np.stack([tint, 0.5 * tint, -tint], axis=-1)


def _pour(canvas: _Canvas, state: str) -> None:
    """Metal of a normal well in one of the ``STATES``."""
    rng, x, y = canvas.rng, canvas.x, canvas.y
    depth = rng.uniform(0.22, 0.38) if state == "full" else rng.uniform(0.38, 0.66)
    contrast = {"bright": rng.uniform(6, 10), "dark": rng.uniform(1.5, 4)}.get(state, rng.uniform(1.5, 4.5))
    lean, narrow = rng.normal(0, 0.04), rng.uniform(0.8, 0.98)
    surface = np.hypot((x - lean) / narrow, np.minimum(y - depth, 0)) - 0.04 * canvas.field(4, 8)
    metal = _inside(1 - surface, 0.05) * np.maximum(
        _inside(0.99 - canvas.r, 0.03), _inside(0.4 - np.abs(x), 0.05) * (y > 0.7)
    )
    canvas.shade(-rng.uniform(0, 14) * _inside(0.06 - np.abs(surface - 1.05), 0.05) * _inside(0.95 - canvas.r, 0.1))
    texture = _metal_texture(canvas, contrast)
    if state == "neck":
        top, drift = rng.uniform(0.26, 0.5), rng.normal(0, 0.06)
        half = top + rng.uniform(0.15, 0.45) * np.clip(y + 0.6, 0, None) ** 1.5 + 0.04 * canvas.field(5, 2)
        metal = np.maximum(metal, _inside(half - np.abs(x - drift), 0.06) * (y < 0.75))
        cap = rng.uniform(0, 0.75) * _inside(half + 0.05 - np.abs(x - drift), 0.1)
        cap = cap * _inside(-rng.uniform(0.55, 0.95) + 0.08 * canvas.field(2, 5) - y, 0.18)
        canvas.cover(metal, texture)
        canvas.cover(cap, rng.uniform(0.6, 1) * np.array((88, 106, 88)))
    else:
        canvas.cover(metal, texture)
    middle = metal * np.exp(-2 * ((x - lean) ** 2 + (y - 0.4) ** 2))
    if state == "bright":
        canvas.shade(middle * (8 + 14 * np.clip(canvas.field(13, 20), 0, None)))
    if state == "dark":
        place = np.exp(-3 * ((x - rng.uniform(-0.3, 0.3)) ** 2 + (y - rng.uniform(0.4, 0.9)) ** 2))
        canvas.shade(-rng.uniform(15, 45) * place * _inside(1 - canvas.r, 0.1) - rng.uniform(0, 12))
    else:
        canvas.shade(middle * rng.normal(0, 3))


def _glitter(canvas: _Canvas, opacity: np.ndarray, strength: float, count: int) -> None:
    """Bright and coloured specks, ``count`` of them, where ``opacity`` (H, W) lets them show."""
    rng = canvas.rng
    height, width = opacity.shape
    specks, mask = canvas.image.copy(), np.zeros(opacity.shape, np.float32)
    weight = (opacity / opacity.sum()).ravel()
    places = rng.choice(weight.size, size=count, p=weight.astype(np.float64) / weight.sum(dtype=np.float64))
    for place in places:
        centre = (int(place % width), int(place // width))
        axes = (int(rng.integers(1, 3)), int(rng.integers(1, 2 + height // 12)))
        colour = GLITTER[rng.choice(len(GLITTER), p=(0.34, 0.17, 0.14, 0.11, 0.06, 0.18))]
        cv2.ellipse(specks, centre, axes, float(rng.normal(0, 12)), 0, 360, colour, -1)
        cv2.ellipse(mask, centre, axes, 0, 0, 360, float(rng.uniform(0.4, 1)), -1)
    canvas.cover(strength * opacity * cv2.GaussianBlur(mask, (0, 0), 0.7), specks)


def _overflow(canvas: _Canvas) -> None:
    """Metal that runs over the rim and down the middle, from dull to glittering."""
    rng, x, y, v = canvas.rng, canvas.x, canvas.y, canvas.v
    fierce = rng.uniform(0.25, 1)
    drift = rng.normal(0, 0.08) + rng.normal(0, 0.1) * y
    half = rng.uniform(0.26, 0.45) + rng.uniform(0, 0.22) * (y + 0.5) + 0.07 * canvas.field(5, 3)
    run = _inside(half - np.abs(x - drift), 0.07)
    canvas.shade(-rng.uniform(5, 22) * _inside(half + 0.12 - np.abs(x - drift), 0.2) * (1 - run))
    crust = _inside(0.2 - v + 0.06 * canvas.field(2, 4), 0.08) * _inside(0.75 - np.abs(x - drift), 0.25)
    canvas.cover(rng.uniform(0.3, 0.9) * crust, (98, 116, 92))
    streaks = canvas.field(6, 22) + canvas.field(13, 20)
    canvas.cover(run * (1 - 0.5 * crust), _metal_texture(canvas, 6) + (5 + 11 * fierce) * streaks[..., None])
    heart = run * _inside(0.6 + 0.4 * canvas.field(4, 4), 0.6) * _inside(v - 0.25, 0.2)
    _glitter(canvas, heart + 1e-6, 0.35 + 0.65 * fierce, int(10 + 38 * fierce))


def _enter_from_side(canvas: _Canvas) -> None:
    """A sleeve, a gloved hand or a dark tool that covers up to a third of the width from one side."""
    rng = canvas.rng
    across = canvas.u if rng.random() < 0.5 else 1 - canvas.u
    colour = np.array(SLEEVES[rng.integers(len(SLEEVES))]) * rng.uniform(0.8, 1.2)
    if rng.random() < 0.3:  # a thin tool, slanted
        line = rng.uniform(0.05, 0.25) + rng.normal(0, 0.12) * (canvas.v - 0.5)
        shape = _inside(rng.uniform(0.025, 0.05) - np.abs(across - line), 0.02)
    else:
        reach, middle = rng.uniform(0.16, 0.34), rng.uniform(0.1, 0.95)
        bulge = np.hypot((across + 0.15) / (reach + 0.15), (canvas.v - middle) / rng.uniform(0.5, 1.1))
        shape = _inside(1 - bulge + 0.05 * canvas.field(5, 3), 0.06)
    canvas.cover(shape, colour + 10 * canvas.field(7, 10)[..., None])


def _clamp(canvas: _Canvas) -> None:
    """A clamp at one side, yellow above and black below."""
    rng = canvas.rng
    across = canvas.u if rng.random() < 0.3 else 1 - canvas.u
    edge, split = rng.uniform(0.08, 0.2), rng.uniform(0.35, 0.6)
    shape = _inside(edge + 0.025 * canvas.field(6, 2) - across, 0.02) * _inside(canvas.v - rng.uniform(0, 0.2), 0.04)
    canvas.cover(shape * _inside(split + 0.15 - canvas.v, 0.03), np.multiply(YELLOW, rng.uniform(0.8, 1.25)))
    canvas.cover(shape * _inside(canvas.v - split, 0.03) * _inside(across - 0.25 * edge, 0.02), BLACK)


def _bar(canvas: _Canvas) -> None:
    """A steel bar across the lower half with a dark knob in the middle."""
    rng, v = canvas.rng, canvas.v + canvas.rng.normal(0, 0.04) * (canvas.u - 0.5)
    middle, half = rng.uniform(0.45, 0.8), rng.uniform(0.12, 0.22)
    canvas.cover(_inside(half - np.abs(v - middle), 0.02), np.multiply(STEEL, rng.uniform(0.85, 1.1)))
    canvas.shade(-25 * _inside(0.02 - np.abs(np.abs(v - middle) - half), 0.02))
    knob = np.hypot((canvas.u - rng.normal(0.5, 0.04)) / rng.uniform(0.1, 0.18), (v - middle - 0.1) / 0.16)
    canvas.cover(0.8 * _inside(1 - knob + 0.1 * canvas.field(5, 8), 0.2), (62, 76, 72))


def _photograph(canvas: _Canvas, exposure: float) -> np.ndarray:
    """Exposure, white balance, reduction to half size, blur and sensor noise; uint8 RGB."""
    rng = canvas.rng
    image = canvas.image * (exposure * rng.normal(1, 0.009, 3) * rng.normal(1, 0.035)).astype(np.float32)
    image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.7))
    image += rng.normal(0, 0.8) + 0.8 * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def draw_well(rng: Generator, kind: str) -> np.ndarray:
    """Draw one well of one of the ``KINDS``.

    Args:
        rng: source of every random choice, the size of the image included.
        kind: a name from ``STATES``, ``NUISANCES`` (an odd view of a normal well) or ``SPILLS``.

    Returns:
        uint8 RGB image (H, W, 3), 0..255, H within ``HEIGHTS`` and W within ``WIDTHS``.
    """
    if kind not in KINDS:
        raise UserError(f"kind of well {kind!r}: expected one of {', '.join(KINDS)}")
    spread, shift, zoom = 1.0, rng.normal(0, (0.015, 0.02)), rng.normal(1, 0.015)
    if kind == "offcentre":
        spread, zoom = 2.5, rng.uniform(0.9, 1.35)
        shift = rng.uniform((0.1, 0.1), (0.25, 0.28)) * rng.choice((-1, 1), 2)
    width = int(np.clip(np.rint(rng.normal(49, 2.2 * spread)), *WIDTHS))
    height = int(np.clip(np.rint(width * rng.normal(0.57, 0.025 * spread)), *HEIGHTS))
    canvas = _Canvas(rng, 2 * height, 2 * width, tuple(shift), zoom)
    _plate_and_wall(canvas, layers=rng.uniform(0, 4) if kind in SPILLS else rng.uniform(0, 14))
    if kind == "overflow":
        _overflow(canvas)
    elif kind == "empty":
        if rng.random() < 0.3:  # a leftover at the bottom
            left = _inside(canvas.y - rng.uniform(0.65, 0.85), 0.05) * _inside(0.5 - np.abs(canvas.x), 0.1)
            canvas.cover(left, _metal_texture(canvas, 10))
        if rng.random() < 0.15:
            _enter_from_side(canvas)
    else:
        _pour(canvas, kind if kind in STATES else str(rng.choice(list(STATES), p=list(STATES.values()))))
    nuisance = {"clamp": _clamp, "hand": _enter_from_side, "bar": _bar}.get(kind)
    if nuisance:
        nuisance(canvas)
    return _photograph(canvas, rng.uniform(0.6, 0.8) if kind == "dim" else 1.0)
