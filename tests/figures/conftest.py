"""Shared by the tests of the figures: all wells of the synthetic default, which take seconds to draw."""

from pathlib import Path

import pytest

from mnad.data.synthetic import SYNTHETIC, draw_wells


@pytest.fixture(scope="session")
def place_with_wells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the figures find the wells that they would draw."""
    place = tmp_path_factory.mktemp("place")
    draw_wells(place / SYNTHETIC)
    return place
