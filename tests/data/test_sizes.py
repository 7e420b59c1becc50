"""The size of the copies follows the photographs where the configuration leaves it to them."""

from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from layouts_on_disk import mvtec, write

from mnad.config import ImageConfig, TrainConfig
from mnad.data.sizes import follow_data
from mnad.run import UserError
from mnad.run.cli import parse


def sized(root: Path, sides: list[int]) -> Path:
    mvtec(root)
    for i, path in enumerate(sorted((root / "train/good").iterdir())):
        write(path, np.zeros((sides[i % len(sides)], 500), np.uint8))
    return root


@pytest.mark.parametrize(("sides", "side"), [([447, 447, 470], 224), ([448, 100, 470], 320)])
def test_large_photographs_have_larger_copies(tmp_path: Path, capsys, sides: list[int], side: int) -> None:
    config = parse(TrainConfig, ["--config", str(ROOT / "configs/mvtec.yaml"), "--data", str(sized(tmp_path, sides))])
    with pytest.raises(UserError, match=r"images.height and images.width: left to the data"):
        _ = config.images.size
    assert follow_data(config).images.size == (side, side)
    assert (
        f"images: {side} x {side} pixels, since the shorter side of the training images is" in capsys.readouterr().out
    )


def test_a_given_size_stays(tmp_path: Path, capsys) -> None:
    config = TrainConfig(data=tmp_path / "missing", images=ImageConfig(64, 48))
    assert follow_data(config) is config and capsys.readouterr().out == ""


def test_what_has_no_size_to_follow(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"images.width: expected a positive multiple of 8, got 0"):
        ImageConfig(64, 0)
    (tmp_path / "training" / "frames").mkdir(parents=True)
    with pytest.raises(
        UserError, match=r"images.height: 0 follows photographs; expected a number of pixels for videos"
    ):
        follow_data(TrainConfig(data=tmp_path, images=ImageConfig(0, 0)))
    unreadable = mvtec(tmp_path / "unreadable")
    for path in (unreadable / "train/good").iterdir():
        path.write_text("no image")
    assert follow_data(TrainConfig(data=unreadable, images=ImageConfig(0, 0))).images.size == (224, 224)
