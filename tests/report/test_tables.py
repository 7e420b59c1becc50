"""Figures of a run: which lines they draw."""

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from mnad.model.build import loss_names
from mnad.report import plots


def test_every_loss_term_of_the_log_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, path, formats: drawn.append(figure) or [path])

    def log(**terms: object) -> pd.DataFrame:  # in the order of the training's log
        return pd.DataFrame(
            {"epoch": [1, 2], "pixel": [0.5, 0.4], **terms, "validation_pixel": [0.6, 0.5], "usage_entropy": 1.0}
        )

    names = sorted(loss_names())
    plots.plot_losses(tmp_path / "losses.png", log(**dict.fromkeys(names, 0.1)))
    labels = [line.get_label() for line in drawn[0].axes[0].get_lines()]
    assert labels == ["pixel", "pixel, validation", *names]
    plots.plot_losses(tmp_path / "losses.png", log(entropy=[0.3, 0.2], kl=0.0))
    entropy = drawn[1].axes[0].get_lines()[-1]
    assert entropy.get_label() == "entropy" and entropy.get_ydata().tolist() == [0.3, 0.2]
