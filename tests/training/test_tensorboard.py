"""Live curves: what is in the event file, and that training is the same without them."""

import sys

import pytest
import torch
from helpers import tiny_config

from mnad.detector import Detector
from mnad.experiment import run_experiment
from mnad.run import NotInstalled
from mnad.run.files import read_log


def test_curves_are_the_log_and_change_nothing(tiny_wells, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain = run_experiment(tiny_config(data=tiny_wells, out=tmp_path / "plain"))
    run = run_experiment(tiny_config(data=tiny_wells, out=tmp_path / "run", log="tensorboard"))
    weights = [Detector.load(folder).model.state_dict() for folder in (plain, run)]
    assert all(torch.equal(weights[1][name], value) for name, value in weights[0].items())
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    log = read_log(run / "log.jsonl").set_index("epoch")
    names = {
        **{f"loss/{name}": name for name in ("total", "pixel", "compactness", "separateness")},
        "validation/pixel": "validation_pixel",
        "memory/perplexity": "perplexity",
        "memory/dead_items": "dead_items",
        "speed/learning_rate": "learning_rate",
    }
    assert set(names) <= set(events.Tags()["scalars"])
    assert len(events.Tags()["scalars"]) == len(log.columns)
    for tag, column in names.items():
        found = {event.step: event.value for event in events.Scalars(tag)}
        assert found == pytest.approx(log[column].to_dict(), rel=1e-6)
    (pictures,) = events.Tags()["images"]
    first, last = events.Images(pictures)
    assert (first.step, last.step) == (1, 2) and first.encoded_image_string != last.encoded_image_string
    assert last.height == 2 * (32 + 2) + 2 and last.width == 8 * (48 + 2) + 2


def test_a_missing_tensorboard_is_said_before_the_work(tiny_wells, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(NotInstalled, match=r"pip install 'mnad-wells\[tensorboard\]'"):
        run_experiment(tiny_config(data=tiny_wells, out=tmp_path / "run", log="tensorboard"))
    assert not (tmp_path / "run").exists()
