"""Bayes generators of avatars: styles by category (StyleGenerator), pictures by pixel (PixelGenerator)."""

from bayes.avatars import load_attributes, load_avatars
from bayes.drawing import render
from bayes.notation import scientific
from bayes.people import make_people
from bayes.pixel_generator import PixelGenerator
from bayes.pixel_mixture import PixelMixture
from bayes.regions import attribute_regions
from bayes.style_generator import StyleGenerator

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
