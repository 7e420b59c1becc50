"""How another day changes a photograph: named, graded, seeded, applied to the original before it is resized.

=============================  ===================================================================  =============
name                           strength                                                             unchanged at
=============================  ===================================================================  =============
``red``, ``green``, ``blue``   factor of that channel (white balance)                               1
``brightness``                 factor of all channels (exposure, gain)                              1
``gamma``                      power on [0, 1]: above 1 darkens the middle                          1
``contrast``                   factor of the distance to mid grey (127.5)                           1
``blur``                       sigma of a Gaussian in pixels of the original (focus)                0
``noise``                      standard deviation of Gaussian noise in grey levels, each channel    0
``jpeg``                       quality of a JPEG file, 1 to 100                                     (100)
``shift_y``, ``shift_x``       pixels down and right; the border is repeated (a knock)              0
``crop``                       share of each side's length cut off; negative: wider, border repeated  0
``mirror``                     1: left and right exchanged                                          0
``grey``                       1: the colours are gone                                              0
=============================  ===================================================================  =============

Several at once, one after the other, are written ``blur=0.7+jpeg=50``. Values are rounded and clipped to 0..255.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from tqdm import tqdm

from mnad.config import AugmentationConfig, CalibrationConfig
from mnad.data.images import Images, fitted
from mnad.data.reading import read_photo
from mnad.data.source import LONG, Source
from mnad.run import UserError

LEVELS = np.arange(256, dtype=np.float64)
Function = Callable[[np.ndarray, float, Generator], np.ndarray]  # H x W x 3 uint8, strength, source of randomness


def rounded(values: np.ndarray) -> np.ndarray:
    """Rounded and clipped to uint8; of 256 values: what each grey level becomes."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def gain(channel: int) -> Function:
    """Multiplies one channel."""

    def apply(image: np.ndarray, strength: float, rng: Generator) -> np.ndarray:
        lookup = np.tile(rounded(LEVELS)[:, None], (1, 3))
        lookup[:, channel] = rounded(LEVELS * strength)
        return cv2.LUT(image, lookup[None])

    return apply


def brightness(image: np.ndarray, strength: float, rng: Generator) -> np.ndarray:
    """Multiplies every channel."""
    return cv2.LUT(image, rounded(LEVELS * strength))


def gamma(image: np.ndarray, strength: float, rng: Generator) -> np.ndarray:
    """Takes the power on [0, 1]."""
    return cv2.LUT(image, rounded(255 * (LEVELS / 255) ** strength))


def contrast(image: np.ndarray, strength: float, rng: Generator) -> np.ndarray:
    """Spreads or narrows about mid grey."""
    return cv2.LUT(image, rounded((LEVELS - 127.5) * strength + 127.5))


def blur(image: np.ndarray, strength: float, rng: Generator) -> np.ndarray:
    """Gaussian; sigma 0 is none."""
    return cv2.GaussianBlur(image, (0, 0), strength) if strength > 0 else image


def noise(image: np.ndarray, strength: float, rng: Generator) -> np.ndarray:
    """Gaussian, independent for each pixel and channel."""
    return rounded(image + rng.normal(0, strength, image.shape))


def jpeg(image: np.ndarray, strength: float, rng: Generator) -> np.ndarray:
    """Through a JPEG file of that quality."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(strength)])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def shift(image: np.ndarray, down: float, right: float) -> np.ndarray:
    """Moves the picture; the border is repeated."""
    matrix = np.array([[1, 0, right], [0, 1, down]], dtype=np.float32)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def crop(image: np.ndarray, strength: float, rng: Generator) -> np.ndarray:
    """Cuts ``strength / 2`` off each side, or adds as much."""
    rows, columns = (round(side * abs(strength) / 2) for side in image.shape[:2])
    if strength < 0:
        return cv2.copyMakeBorder(image, rows, rows, columns, columns, cv2.BORDER_REPLICATE)
    return image[rows : image.shape[0] - rows, columns : image.shape[1] - columns]


def mirror(image: np.ndarray, strength: float, rng: Generator) -> np.ndarray:
    """Exchanges left and right."""
    return cv2.flip(image, 1) if strength else image


def grey(image: np.ndarray, strength: float, rng: Generator) -> np.ndarray:
    """Three equal channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) if strength else image


@dataclass(frozen=True)
class Kind:
    """One kind of change.

    Attributes:
        apply: makes it.
        neutral: the strength that changes nothing.
        strengths: those of the robustness table, within ``low`` and ``high``.
        low, high: what is possible at all.
    """

    apply: Function
    neutral: float
    strengths: tuple[float, ...]
    low: float = -math.inf
    high: float = math.inf


GAINS, FACTORS, OFFSETS = (0.9, 0.95, 1.05, 1.1), (0.8, 0.9, 1.12, 1.25), (-4.0, -2.0, 2.0, 4.0)
KINDS: dict[str, Kind] = {
    "red": Kind(gain(0), 1, GAINS, 0),
    "green": Kind(gain(1), 1, GAINS, 0),
    "blue": Kind(gain(2), 1, GAINS, 0),
    "brightness": Kind(brightness, 1, FACTORS, 0),
    "gamma": Kind(gamma, 1, FACTORS, 0.01),
    "contrast": Kind(contrast, 1, (0.8, 0.9, 1.1, 1.2), 0),
    "blur": Kind(blur, 0, (0.5, 0.7, 1.0, 1.2), 0),
    "noise": Kind(noise, 0, (3, 5, 7, 10), 0),
    "jpeg": Kind(jpeg, 100, (80, 50, 35, 20), 1, 100),
    "shift_y": Kind(lambda image, strength, rng: shift(image, strength, 0), 0, OFFSETS),
    "shift_x": Kind(lambda image, strength, rng: shift(image, 0, strength), 0, OFFSETS),
    "crop": Kind(crop, 0, (-0.1, -0.05, 0.05, 0.1), -1, 0.5),
    "mirror": Kind(mirror, 0, (1,), 0, 1),
    "grey": Kind(grey, 0, (1,), 0, 1),
}
PAIRS = (
    "red=1.1+blue=0.9",
    "red=0.9+blue=1.1",
    "brightness=0.8+blue=0.9",
    "brightness=0.9+blur=0.7",
    "brightness=1.12+noise=5",
    "gamma=0.9+jpeg=50",
    "contrast=1.2+gamma=0.8",
    "blue=1.05+noise=5",
    "blur=0.7+noise=5",
    "blur=0.7+jpeg=50",
    "shift_y=2+shift_x=2",
    "shift_y=2+blur=0.7",
    "mirror=1+blue=1.1",
)


@dataclass(frozen=True)
class Change:
    """Steps one after the other, each a kind and its strength; none changes nothing."""

    steps: tuple[tuple[str, float], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Change":
        """``blur=0.7+jpeg=50``, or ``none``.

        Raises:
            UserError: another form, an unknown kind or a strength out of range.
        """
        if text == "none":
            return cls()
        steps = []
        for part in text.split("+"):
            name, _, value = part.partition("=")
            if name not in KINDS:
                raise UserError(f"change {text!r}: {name!r} is unknown; expected some of {', '.join(KINDS)}")
            try:
                strength = float(value)
            except ValueError as error:
                raise UserError(f"change {text!r}: strength {value!r}; expected a number") from error
            if not (math.isfinite(strength) and KINDS[name].low <= strength <= KINDS[name].high):
                low, high = KINDS[name].low, KINDS[name].high
                raise UserError(f"change {text!r}: strength {value}; expected a number from {low:g} to {high:g}")
            steps.append((name, strength))
        return cls(tuple(steps))

    def __str__(self) -> str:
        return "+".join(f"{name}={strength:g}" for name, strength in self.steps) or "none"

    def milder(self, share: float) -> "Change":
        """Each strength at the ``share`` of its way from what changes nothing; a mirrored picture stays one."""
        if share == 1:
            return self
        neutral = [strength if name == "mirror" else KINDS[name].neutral for name, strength in self.steps]
        return Change(tuple((n, zero + share * (s - zero)) for (n, s), zero in zip(self.steps, neutral, strict=True)))

    def __call__(self, image: np.ndarray, rng: Generator) -> np.ndarray:
        """H x W x 3 uint8 -> the changed image, contiguous; only a crop has another size."""
        for name, strength in self.steps:
            image = KINDS[name].apply(np.ascontiguousarray(image), strength, rng)
        return np.ascontiguousarray(image)


def factor(rng: Generator, low: float, high: float) -> float:
    """Uniform in the logarithm, so that halving is as likely as doubling."""
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


# Family of the configuration -> one of its changes, at random.
DRAWN: dict[str, Callable[[Generator], Sequence[tuple[str, float]]]] = {
    "white_balance": lambda rng: list(zip(("red", "green", "blue"), rng.uniform(0.9, 1.1, 3).tolist(), strict=True)),
    "brightness": lambda rng: [("brightness", factor(rng, 0.8, 1.25))],
    "gamma": lambda rng: [("gamma", factor(rng, 0.8, 1.25))],
    "contrast": lambda rng: [("contrast", rng.uniform(0.8, 1.2))],
    "blur": lambda rng: [("blur", rng.uniform(0.3, 1.2))],
    "noise": lambda rng: [("noise", rng.uniform(0, 10))],
    "jpeg": lambda rng: [("jpeg", rng.uniform(20, 90))],
    "shift": lambda rng: [("shift_y", float(rng.integers(-3, 4))), ("shift_x", float(rng.integers(-3, 4)))],
    "mirror": lambda rng: [("mirror", 1)],
    "crop": lambda rng: [("crop", rng.uniform(0, 0.1))],
}


def random_change(rng: Generator, families: Sequence[str]) -> Change:
    """One change of a family drawn from ``families`` (see :data:`DRAWN`), its strength drawn as well."""
    return Change(tuple(DRAWN[families[int(rng.integers(len(families)))]](rng)))


def changed(images: Images, change: Change, seed: int = 0) -> Images:
    """``images`` with one change, from their originals; whatever the batches, the same seed gives the same pixels."""
    return _copies(images, [change] * len(images), seed, f"{images.name}, {change}")


def random_copies(
    images: Source, copies: int, families: Sequence[str], seed: int, strength: float = 1.0
) -> list[Images]:
    """``copies`` times ``images``, each image with a change of its own, made milder by ``strength``.

    Raises:
        UserError: frames of videos, which have no originals.
    """
    if copies and not isinstance(images, Images):
        raise UserError("changed copies: of frames; expected photographs, or no copies")
    found: list[Images] = []
    if not isinstance(images, Images):
        return found
    for copy in range(copies):
        rng = np.random.default_rng([seed, copy, 0])
        chosen = [random_change(rng, families).milder(strength) for _ in range(len(images))]
        found.append(_copies(images, chosen, seed * 1000 + copy, f"{images.name}, changed"))
    return found


def augmented(images: Source, config: AugmentationConfig) -> Source:
    """``images`` and their changed copies as one source; itself without any.

    Raises:
        UserError: frames of videos.
    """
    copies = random_copies(images, config.copies, config.changes, config.seed, config.strength)
    if not copies or not isinstance(images, Images):
        return images
    pixels = [part[i] for part in (images, *copies) for i in range(len(part))]
    return Images(pixels, images.size, name=f"{images.name} and changed copies")


def _copies(images: Images, changes: Sequence[Change], seed: int, name: str) -> Images:
    """Each image with the change at its place."""
    pixels = np.empty((len(images), *images.size, 3), dtype=np.uint8)
    rng = np.random.default_rng([seed, 1])
    for i, change in enumerate(tqdm(changes, name, disable=len(images) < LONG, leave=False)):
        pixels[i] = fitted(change(read_photo(images.sources[i]).pixels, rng), images.size, images.fit)
    return Images(list(pixels), images.size, name=name, fit=images.fit)


def calibration_sets(validation: Source, known: Source | None, config: CalibrationConfig) -> tuple[list, list]:
    """What statistics and threshold are taken from: ``validation`` and its changed copies, and the same of ``known``
    (none without any)."""
    normal = [validation, *random_copies(validation, config.normal_copies, config.changes, config.seed)]
    if known is None or len(known) == 0:
        return normal, []
    return normal, [known, *random_copies(known, config.known_copies, config.changes, config.seed + 1)]
