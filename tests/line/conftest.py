"""Shared by the tests of the line: a shipped detector and photographs for it."""

from pathlib import Path

import pytest

from mnad.detector import Detector


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load("synthetic")


@pytest.fixture(scope="module")
def photographs(tiny_wells) -> list[Path]:
    return sorted((tiny_wells / "test" / "imgs").iterdir())
