"""Bayes generators of avatars: styles by category (StyleGenerator), pictures by pixel (PixelGenerator)."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayes.avatars import load_attributes, load_avatars
    from bayes.drawing import render
    from bayes.notation import scientific
    from bayes.people import make_people
    from bayes.pixel_generator import PixelGenerator
    from bayes.pixel_mixture import PixelMixture
    from bayes.regions import attribute_regions
    from bayes.style_generator import StyleGenerator

_HOME = {  # where each name lives; imported when it is asked for, so that a command line answers at once
    "PixelGenerator": "pixel_generator",
    "PixelMixture": "pixel_mixture",
    "StyleGenerator": "style_generator",
    "attribute_regions": "regions",
    "load_attributes": "avatars",
    "load_avatars": "avatars",
    "make_people": "people",
    "render": "drawing",
    "scientific": "notation",
}

__all__ = [
    "PixelGenerator",
    "PixelMixture",
    "StyleGenerator",
    "attribute_regions",
    "load_attributes",
    "load_avatars",
    "make_people",
    "render",
    "scientific",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'bayes' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bayes.{_HOME[name]}"), name)
