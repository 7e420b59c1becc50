"""The picture of a style, drawn offline with DiceBear's "avataaars" (by Pablo Stanley)."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mnad.run import UserError, not_installed

if TYPE_CHECKING:
    from dicebear import Style  # of an extra

# One to one: category of styles.py -> value -> DiceBear options.
OPTIONS: dict[str, dict[str, dict[str, str | int]]] = {
    "прическа": {
        "нет волос": {"topProbability": 0},
        "длинные в пучок": {"topVariant": "bun"},
        "длинные волнистые": {"topVariant": "curvy"},
        "длинные прямые": {"topVariant": "straight01"},
        "короткая волнистые": {"topVariant": "shortWaved"},
        "короткая прямые": {"topVariant": "shortFlat"},
        "короткая курчавые": {"topVariant": "shortCurly"},
    },
    "цвет волос": {
        "черный": {"hairColor": "2c1b18"},
        "блонд": {"hairColor": "d6b370"},
        "каштановый": {"hairColor": "724133"},
        "пастельный розовый": {"hairColor": "f59797"},
        "рыжий": {"hairColor": "c93305"},
        "серебристо серый": {"hairColor": "e8e1e1"},
    },
    "аксесуар": {
        "нет очков": {"accessoriesProbability": 0},
        "круглые очки": {"accessoriesVariant": "round", "accessoriesProbability": 100},
        "солнцезащитные очки": {"accessoriesVariant": "sunglasses", "accessoriesProbability": 100},
    },
    "одежда": {
        "худи": {"clothesVariant": "hoodie"},
        "комбинезон": {"clothesVariant": "overall"},
        "футболка с круглым вырезом": {"clothesVariant": "shirtCrewNeck"},
        "футболка с V-вырезом": {"clothesVariant": "shirtVNeck"},
    },
    "цвет одежды": {
        "черный": {"clothesColor": "262e33"},
        "синий": {"clothesColor": "5199e4"},
        "серый": {"clothesColor": "929598"},
        "зеленый": {"clothesColor": "a7ffc4"},
        "оранжевый": {"clothesColor": "fd9841"},
        "розовый": {"clothesColor": "ff488e"},
        "красный": {"clothesColor": "ff5c5c"},
        "белый": {"clothesColor": "ffffff"},
    },
}

# What the styles leave open is the same for everybody.
FIXED = {
    "seed": "mnad-wells",
    "skinColor": "edb98a",
    "eyesVariant": "default",
    "eyebrowsVariant": "default",
    "mouthVariant": "smile",
    "accessoriesColor": "262e33",
    "facialHairProbability": 0,
}

WIDTH, HEIGHT = 528, 560  # pixels: the size of the course's avatars
CANVAS = 'viewBox="0 0 280 280"'
CROPPED = 'viewBox="8 0 264 280"'  # the part of DiceBear's square canvas that the course's avatars show


def render_png(style: Mapping[str, str], width: int = WIDTH) -> bytes:
    """The avatar of ``style`` as the bytes of a PNG, RGBA with a transparent background, 33 : 35.

    The same style gives the same bytes (for the same versions of DiceBear and resvg).

    Args:
        style: one value of ``styles.py`` for each category.
        width: pixels; the height is 35/33 of it.

    Raises:
        UserError: a category is missing, a value is unknown, or the extra "avatars" is not installed.
    """
    options = dict(FIXED)
    for category, values in OPTIONS.items():
        if style.get(category) not in values:
            raise UserError(f"{category!r}: expected one of {list(values)}, got {style.get(category)!r}")
        options |= values[style[category]]
    try:
        import resvg_py
        from dicebear import Avatar
    except ImportError as error:
        raise not_installed("drawing a style", error.name, "avatars") from error
    svg = Avatar(load_avataaars(), options).to_string()
    if CANVAS not in svg:
        raise UserError(f"dicebear-styles: another drawing than the expected one with {CANVAS}")
    svg = svg.replace(CANVAS, CROPPED, 1)
    height = round(width * HEIGHT / WIDTH)
    return resvg_py.svg_to_bytes(svg_string=svg, width=width, height=height, skip_system_fonts=True)


def render(style: Mapping[str, str], width: int = WIDTH) -> np.ndarray:
    """``render_png`` as an array (H, W, 4), RGBA uint8, not premultiplied."""
    png = np.frombuffer(render_png(style, width), dtype=np.uint8)
    return cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)


@cache
def load_avataaars() -> "Style":
    """DiceBear's definition of the style, read once."""
    from dicebear import Style

    return Style(json.loads(files("dicebear_styles").joinpath("avataaars.json").read_text("utf-8")))
