"""Which configurations a sweep trains, and whether its figure shows the demand of the wells."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from video_data import write_dataset

from mnad.config import TrainConfig
from mnad.report import seeds
from mnad.run import UserError
from mnad.study.sweep import demand, read_grid, variants


def test_a_grid_is_every_combination(tmp_path):
    path = tmp_path / "base.yaml"
    path.write_text("model: {items: 5}\n")
    found = variants(TrainConfig, path, ["model.items=[2,5]", "optim.finish=[[],[decoder]]"])
    assert {name: (one.model.items, one.optim.finish) for name, one in found.items()} == {
        "base": (5, []),
        "base+model.items=2+optim.finish=[]": (2, []),
        "base+model.items=2+optim.finish=[decoder]": (2, ["decoder"]),
        "base+model.items=5+optim.finish=[decoder]": (5, ["decoder"]),
    }


@pytest.mark.parametrize("text", ["items", "items=", "items=2", "items=[]", "=[2]", "a b=[2]", "items=[2"])
def test_what_is_no_grid(text):
    with pytest.raises(UserError, match=r"grid: expected KEY=\[VALUE,VALUE\.\.\.\]"):
        read_grid(text)


def test_a_key_twice():
    with pytest.raises(UserError, match="grid: a twice"):
        read_grid(["a=[1]", "a=[2]"])


def test_only_wells_have_a_demand(tiny_wells, tmp_path, monkeypatch):
    films = write_dataset(tmp_path / "films")
    assert demand([TrainConfig(), TrainConfig(data=tiny_wells)]) == 0.05
    assert demand([TrainConfig(data=films)]) is None and demand([TrainConfig(), TrainConfig(data=films)]) is None
    drawn = []
    monkeypatch.setattr(seeds, "save_figure", lambda figure, *_: drawn.append(figure) or [])
    row = {"config": "a", "model": "m", "score": "s", "tpr_mean": 0.9, "tnr_mean": 0.8, "tpr_std": 0.0, "tnr_std": 0.0}
    for limit in (0.05, None):
        seeds.plot_ablation(tmp_path / "a.png", pd.DataFrame([row]), limit)
    texts = [[text.get_text() for text in figure.axes[0].get_legend().get_texts()] for figure in drawn]
    assert "the user's demand, 5 %" in texts[0] and len(texts[1]) == len(texts[0]) - 1
    plt.close("all")
